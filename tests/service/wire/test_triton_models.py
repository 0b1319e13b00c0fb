"""What Triton's own client is told of models, may change of them, and who it has to be."""

from pathlib import Path

from service.identity import Role
from service.token import new_token
from service.wire.calls import Calls
from service.wire.services import Offered
from tests.service.wire.asking import ask
from tests.service.wire.running import Running, serve
from tests.service.wire.showing import access, entry
from tests.service.wire.tensors import PROMPT, SAME, Asked, Triton


async def test_the_server_and_its_models_are_told(running: Running, triton: Triton):
    assert await triton("tell", running.address, "is_server_live") is True
    assert await triton("tell", running.address, "is_server_ready") is True
    for name, version, ready in (("gru", "", True), ("gru", "2", True), ("gru", "3", False), ("nope", "", False)):
        assert await triton("tell", running.address, "is_model_ready", name, version) is ready
    server = await triton("tell", running.address, "get_server_metadata")
    assert (server["name"], "statistics" in server["extensions"]) == ("seqstream", True)
    model = await triton("tell", running.address, "get_model_metadata", "gru")
    assert (model["name"], model["versions"], model["platform"]) == ("gru", ["1", "2"], "onnxruntime_onnx")
    assert model["inputs"][0] == {"name": "text_input", "datatype": "BYTES", "shape": ["1"]}
    assert {"name": "output_ids", "datatype": "INT32", "shape": ["-1"]} in model["outputs"]
    config = (await triton("tell", running.address, "get_model_config", "transformer-lm"))["config"]
    assert config["model_transaction_policy"] == {"decoupled": True}
    assert config["parameters"]["context_limit"] == {"string_value": "64"}
    assert {one["name"] for one in config["input"]} == {one["name"] for one in model["inputs"]}
    missing = await triton("tell", running.address, "get_model_metadata", "nope")
    assert missing.status == "StatusCode.NOT_FOUND"


async def test_statistics_count_what_was_asked_of_a_model(running: Running, triton: Triton):
    await running.events(ask(PROMPT))
    await triton("infer", running.address, Asked(PROMPT, parameters=SAME))
    await triton("stream", running.address, [Asked(PROMPT, parameters=SAME), Asked(PROMPT, parameters={"top_p": 2.0})])
    (old, new) = (await triton("tell", running.address, "get_inference_statistics", "gru"))["model_stats"]
    assert (old["version"], new["version"]) == ("1", "2")
    assert "inference_count" not in old
    spent = new["inference_stats"]
    assert (new["inference_count"], spent["success"]["count"], spent["fail"]["count"]) == ("3", "3", "1")
    assert int(new["execution_count"]) == running.models.find("gru@2").engine.work().steps >= 40
    assert int(spent["queue"]["ns"]) + int(spent["compute_infer"]["ns"]) <= int(spent["success"]["ns"])
    assert int(spent["compute_infer"]["ns"]) > 0
    assert int(new["last_inference"]) > 1_600_000_000_000
    everything = (await triton("tell", running.address, "get_inference_statistics"))["model_stats"]
    assert len(everything) == 4


async def test_models_are_listed_unloaded_and_loaded_by_admins(models_folder: Path, triton: Triton):
    async with serve(models_folder, role=Role.ADMIN) as running:

        async def states() -> dict[str, str]:
            index = await triton("tell", running.address, "get_model_repository_index")
            return {f"{one['name']}@{one.get('version')}": one["state"] for one in index["models"]}

        assert await states() == dict.fromkeys(("gru@1", "gru@2", "transformer@1", "transformer-lm@1"), "READY")
        assert await triton("tell", running.address, "unload_model", "gru") is None
        assert await states() == {"transformer@1": "READY", "transformer-lm@1": "READY"}
        assert await triton("tell", running.address, "is_model_ready", "gru") is False
        assert await triton("tell", running.address, "load_model", "gru") is None
        assert (await triton("infer", running.address, Asked(PROMPT, parameters=SAME))).version == "2"
        bad = await triton("tell", running.address, "load_model", "gru@9")
        assert (bad.status, "there are: gru@1, gru@2" in bad.error) == ("StatusCode.NOT_FOUND", True)
        for name in ("gru", "transformer"):
            await triton("tell", running.address, "unload_model", name)
        last = await triton("tell", running.address, "unload_model", "transformer-lm")
        assert last.status == "StatusCode.FAILED_PRECONDITION"
        assert "the only one that is served" in last.error


async def test_users_change_nothing(running: Running, triton: Triton):
    for method in ("load_model", "unload_model"):
        answer = await triton("tell", running.address, method, "gru")
        assert (answer.status, answer.error) == ("StatusCode.PERMISSION_DENIED", "the call needs the role admin")


async def test_who_calls_is_asked_as_everywhere(models_folder: Path, triton: Triton, tmp_path: Path, told):
    token, callers = new_token(), tmp_path / "callers.toml"
    callers.write_text(entry(token, tenant='"acme"'))
    headers = {"authorization": f"Bearer {token}"}
    async with serve(models_folder, calls=Calls(access(callers))) as running:
        for answer in (
            await triton("infer", running.address, Asked(PROMPT, parameters=SAME)),
            (await triton("stream", running.address, [Asked(PROMPT, parameters=SAME)]))[0],
        ):
            assert answer.status == "StatusCode.UNAUTHENTICATED"
            assert answer.error == "authorization: is missing; allowed: Bearer TOKEN"
        assert await triton("tell", running.address, "is_server_ready") is True
        answer = await triton("infer", running.address, Asked(PROMPT, parameters=SAME), headers=headers)
        assert len(answer.ids) == 40
        line = await told()
        assert (line["tenant"], line["method"], line["tokens"]) == ("acme", "ModelInfer", 40)
        assert line["request_id"] == answer.parameters["request_id"]


async def test_the_protocol_can_be_off(models_folder: Path, triton: Triton):
    async with serve(models_folder, offered=Offered(open_inference=False)) as running:
        answer = await triton("infer", running.address, Asked(PROMPT))
        assert answer.status == "StatusCode.UNIMPLEMENTED"
        await running.events(ask(PROMPT))


async def test_our_client_lives_in_one_process_with_tritons(running: Running, triton: Triton):
    assert isinstance(await triton("with_our_client", running.address), str)
