"""Versions that come and go while streams run: found in the folder, or loaded and unloaded by calls."""

import asyncio
import logging
import os
import weakref
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2 as details
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from protos.seqstream.v1 import model_pb2 as pb
from service.client import Client
from service.failures import FailedPrecondition, NotFound
from service.identity import Role
from tests.exported import Bundles
from tests.service.wire.asking import ask, endless, read, stop, tokens_of
from tests.service.wire.running import Running, serve, until
from tests.service.wire.test_terminal import run
from tests.service.wire.versions import cripple, put, spoil

HEALTH = health_pb2.HealthCheckResponse


@pytest.fixture
def folder(bundles: Bundles, tmp_path: Path) -> Path:
    """A folder with the first version of a model."""
    for label in ("lstm", "transformer-lm", "gru-seq2seq"):
        bundles.path(label)  # exported while nothing waits
    put(bundles, "gru", tmp_path, "mine", 1)
    return tmp_path


def request(count: int, model: str = "mine"):
    return ask(model=model, stop=stop(count))


async def load(running: Running, model: str) -> pb.Model:
    return (await running.model.LoadModel(pb.LoadModelRequest(model=model))).model


async def unload(running: Running, model: str, seconds: float | None = None) -> None:
    drain = None if seconds is None else Duration(nanos=int(1e9 * seconds))
    await running.model.UnloadModel(pb.UnloadModelRequest(model=model, drain=drain))


async def states(running: Running) -> dict[str, str]:
    response = await running.model.ListModels(pb.ListModelsRequest())
    return {f"{one.name}@{one.version}": pb.ModelState.Name(one.state)[12:] for one in response.models}


async def refused(call) -> tuple[grpc.StatusCode, str, str]:
    """The status, the reason and the message of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = details.ErrorInfo()
    status = rpc_status.from_call(caught.value)
    assert status is not None
    assert any(detail.Unpack(info) for detail in status.details)
    return caught.value.code(), info.reason, caught.value.details() or ""


async def look_twice(running: Running) -> None:
    """Look into the folder until what has been copied into it is known to be whole."""
    await running.versions.look()
    await running.versions.look()


async def test_a_new_version_takes_new_requests_while_a_stream_ends_on_the_old_one_with_the_same_tokens(
    bundles: Bundles, folder: Path
):
    async with serve(folder, keep=1) as running:
        long = endless(model="mine")
        long.stop.max_new_tokens = 2000  # more than a connection holds: it ends only because it is read to its end
        alone = tokens_of(await running.events(long))
        call = running.generation.Generate(long)
        first = await read(call, 3)
        put(bundles, "lstm", folder, "mine", 2)
        await look_twice(running)
        assert await states(running) == {"mine@1": "UNLOADING", "mine@2": "READY"}
        events = await running.events(request(20))
        assert events[0].started.model == "mine@2"
        assert tokens_of(events) != alone[:20]  # the prompt and the seed are the same
        rest = [event async for event in call]
        assert first[0].started.model == "mine@1"
        assert tokens_of([*first, *rest]) == alone
        await until(lambda: not running.versions.others())
        assert await states(running) == {"mine@2": "READY"}


async def test_a_version_that_has_gone_is_freed(bundles: Bundles, folder: Path):
    async with serve(folder, keep=1) as running:
        model = running.models.find("mine@1")
        left = [weakref.ref(model.engine), weakref.ref(model.engine.runner), weakref.ref(model.tokenizer)]
        del model
        await running.events(request(20))
        put(bundles, "gru-seq2seq", folder, "mine", 2)
        await look_twice(running)
        await until(lambda: not running.versions.others())
        await until(lambda: not any(one() for one in left))


@pytest.mark.usefixtures("eager")
async def test_a_drafter_that_has_gone_is_freed_and_its_streams_go_on(bundles: Bundles, folder: Path):
    put(bundles, "transformer-lm", folder, "large", 1)
    put(bundles, "transformer-lm", folder, "small", 1)
    asked = ask(model="large", stop=stop(50), sampling={"temperature": 0})
    async with serve(folder, role=Role.ADMIN) as running:
        alone = tokens_of(await running.events(asked))
        asked.drafts.model = "small"
        runner = weakref.ref(running.models.find("small").engine.runner)
        call = running.generation.Generate(asked)
        first = await read(call, 2)
        await unload(running, "small@1")
        assert tokens_of([*first, *[event async for event in call]]) == alone
        await until(lambda: runner() is None)
        status, _, _ = await refused_stream(running, asked)
        assert status is grpc.StatusCode.INVALID_ARGUMENT


async def refused_stream(running: Running, asked) -> tuple[grpc.StatusCode, str, str]:
    call = running.generation.Generate(asked)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    return caught.value.code(), "", caught.value.details() or ""


async def test_a_bad_version_is_told_once_and_the_old_one_goes_on(
    bundles: Bundles, folder: Path, caplog: pytest.LogCaptureFixture
):
    async with serve(folder, keep=1) as running:
        spoil(put(bundles, "lstm", folder, "mine", 2))
        with caplog.at_level(logging.ERROR):
            for _ in range(4):
                await running.versions.look()
        assert [record.getMessage() for record in caplog.records] == [
            f"mine@2: not served: {folder}/mine/2/step.onnx: SHA-256 differs from bundle.json"
        ]
        assert await states(running) == {"mine@1": "READY", "mine@2": "FAILED"}
        told = (await running.model.GetModel(pb.GetModelRequest(model="mine@2"))).model
        assert told.error == "mine/2/step.onnx: SHA-256 differs from bundle.json"
        assert (await running.events(request(5)))[0].started.model == "mine@1"


async def test_a_version_whose_steps_fail_is_not_served(bundles: Bundles, folder: Path):
    async with serve(folder, role=Role.ADMIN) as running:
        cripple(put(bundles, "gru", folder, "mine", 2))
        status, reason, message = await refused(running.model.LoadModel(pb.LoadModelRequest(model="mine")))
        assert (status, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BAD_BUNDLE")
        assert message.startswith("mine@2 cannot be served: mine/2/step.onnx: does not run: ")
        assert (await running.events(request(5)))[0].started.model == "mine@1"


async def test_a_version_that_is_still_copied_is_waited_for_in_silence(
    bundles: Bundles, folder: Path, caplog: pytest.LogCaptureFixture
):
    async with serve(folder, keep=1) as running:
        path = put(bundles, "lstm", folder, "mine", 2)
        whole = (path / "step.onnx").read_bytes()
        for share in range(1, 5):
            (path / "step.onnx").write_bytes(whole[: len(whole) * share // 5])
            await running.versions.look()
        (path / "step.onnx").write_bytes(whole)
        await look_twice(running)
        assert (await running.events(request(5)))[0].started.model == "mine@2"
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_bad_version_that_is_mended_is_served(bundles: Bundles, folder: Path):
    async with serve(folder, keep=1) as running:
        path = put(bundles, "lstm", folder, "mine", 2)
        whole = (path / "step.onnx").read_bytes()
        spoil(path)
        await look_twice(running)
        assert (await states(running))["mine@2"] == "FAILED"
        (path / "step.onnx").write_bytes(whole)
        await look_twice(running)
        assert (await states(running))["mine@2"] == "READY"


async def test_a_version_that_is_loaded_by_a_call_can_be_named_until_it_is_unloaded(bundles: Bundles, folder: Path):
    put(bundles, "lstm", folder, "mine", 2)
    async with serve(folder, keep=1, role=Role.ADMIN) as running:
        assert await states(running) == {"mine@2": "READY"}
        assert (await load(running, "mine@1")).version == 1
        assert (await load(running, "mine@1")).state == pb.MODEL_STATE_READY
        await look_twice(running)
        for model, answers in (("mine", "mine@2"), ("mine@1", "mine@1"), ("mine@2", "mine@2")):
            assert (await running.events(request(5, model)))[0].started.model == answers
        await unload(running, "mine@2")
        await look_twice(running)
        assert await states(running) == {"mine@1": "READY"}
        assert (await running.events(request(5)))[0].started.model == "mine@1"


async def test_unloading_waits_for_streams_and_refuses_new_ones(bundles: Bundles, folder: Path):
    put(bundles, "lstm", folder, "mine", 2)
    async with serve(folder, role=Role.ADMIN) as running:
        call = running.generation.Generate(endless(model="mine@2"))
        await read(call, 2)
        unloading = asyncio.ensure_future(unload(running, "mine@2"))
        await until(lambda: bool(running.models.leaving))
        assert (await refused_stream(running, request(5, "mine@2")))[0] is grpc.StatusCode.NOT_FOUND
        assert (await running.events(request(5)))[0].started.model == "mine@1"
        status, reason, _ = await refused(running.model.LoadModel(pb.LoadModelRequest(model="mine@2")))
        assert (status, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_UNLOADING")
        assert not unloading.done()
        call.cancel()
        await unloading
        assert await states(running) == {"mine@1": "READY"}


async def test_unloading_ends_streams_after_the_time_that_they_have(bundles: Bundles, folder: Path):
    put(bundles, "lstm", folder, "mine", 2)
    async with serve(folder, role=Role.ADMIN) as running:
        call = running.generation.Generate(endless(model="mine@2"))
        await read(call, 2)
        await unload(running, "mine@2", 0.05)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await states(running) == {"mine@1": "READY"}


async def test_calls_that_change_models_are_refused_with_reasons(bundles: Bundles, folder: Path):
    async with serve(folder, role=Role.ADMIN) as running:
        model, (missing, last) = running.model, (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION)
        for call, expected in [
            (model.UnloadModel(pb.UnloadModelRequest(model="mine@1")), (last, "LAST_MODEL")),
            (model.UnloadModel(pb.UnloadModelRequest(model="mine@9")), (missing, "MODEL_NOT_FOUND")),
            (model.LoadModel(pb.LoadModelRequest(model="mine@9")), (missing, "MODEL_NOT_FOUND")),
            (model.LoadModel(pb.LoadModelRequest(model="../mine@1")), (missing, "MODEL_NOT_FOUND")),
        ]:
            assert (await refused(call))[:2] == expected
        spoil(put(bundles, "gru", folder, "mine", 4))
        status, reason, message = await refused(model.LoadModel(pb.LoadModelRequest(model="mine")))
        assert (status, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BAD_BUNDLE")
        assert message == "mine@4 cannot be served: mine/4/step.onnx: SHA-256 differs from bundle.json"
        for bad in (
            pb.UnloadModelRequest(model="mine"),
            pb.UnloadModelRequest(model="mine@1", drain=Duration(seconds=-1)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await model.UnloadModel(bad)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (await running.events(request(5)))[0].started.model == "mine@1"


async def test_only_admins_change_models(folder: Path):
    async with serve(folder) as running:
        for call in (
            running.model.LoadModel(pb.LoadModelRequest(model="mine@1")),
            running.model.UnloadModel(pb.UnloadModelRequest(model="mine@1")),
        ):
            assert (await refused(call))[:2] == (grpc.StatusCode.PERMISSION_DENIED, "ADMIN_REQUIRED")


async def test_health_follows_the_models(bundles: Bundles, folder: Path):
    async with serve(folder, role=Role.ADMIN) as running:
        health = health_pb2_grpc.HealthStub(running.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service="mine@2"))
        assert (await watch.read()).status == HEALTH.SERVICE_UNKNOWN
        put(bundles, "lstm", folder, "mine", 2)
        await load(running, "mine")
        assert (await watch.read()).status == HEALTH.SERVING
        await unload(running, "mine@2")
        assert (await watch.read()).status == HEALTH.SERVICE_UNKNOWN
        for name in ("", "mine", "mine@1"):
            assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == HEALTH.SERVING
        watch.cancel()


async def test_a_folder_that_is_away_changes_nothing(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    async with serve(folder, keep=1, role=Role.ADMIN) as running:
        watching = asyncio.ensure_future(running.versions.watch(0.01))
        away = tmp_path_factory.mktemp("away") / "models"
        os.rename(folder, away)  # noqa: PTH104
        await asyncio.sleep(0.1)
        assert (await running.events(request(5)))[0].started.model == "mine@1"
        loading = running.model.LoadModel(pb.LoadModelRequest(model="mine@2"))
        assert (await refused(loading))[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "BAD_BUNDLE")
        os.rename(away, folder)  # noqa: PTH104
        assert not watching.done()
        watching.cancel()


async def test_the_client_loads_lists_and_unloads(bundles: Bundles, folder: Path):
    async with serve(folder, role=Role.ADMIN) as running, Client(running.address) as client:
        put(bundles, "lstm", folder, "mine", 2)
        spoil(put(bundles, "gru", folder, "mine", 3))
        loaded = await client.load("mine@2")
        assert (loaded.version, loaded.family, loaded.state) == (2, "lstm", "READY")
        with pytest.raises(FailedPrecondition, match=r"mine@3 cannot be served: mine/3/step\.onnx: SHA-256 differs"):
            await client.load("mine")
        told = [(model.version, model.state, model.error) for model in await client.models()]
        bad = "mine/3/step.onnx: SHA-256 differs from bundle.json"
        assert told == [(1, "READY", ""), (2, "READY", ""), (3, "FAILED", bad)]
        await client.unload("mine@1", drain=0)
        await client.unload("mine@3")
        assert [model.version for model in await client.models()] == [2]
        with pytest.raises(NotFound):
            await client.unload("mine@9")


async def test_the_terminal_loads_lists_and_unloads(bundles: Bundles, folder: Path):
    async with serve(folder, role=Role.ADMIN) as running:
        at = ("--address", running.address)
        put(bundles, "lstm", folder, "mine", 2)
        spoil(put(bundles, "gru", folder, "mine", 3))
        code, output, _ = await run("--load", "mine@2", *at)
        assert (code, output.partition(",")[0]) == (0, "mine@2: lstm")
        bad = "mine/3/step.onnx: SHA-256 differs from bundle.json"
        assert await run("--load", "mine", *at) == (1, "", f"error: mine@3 cannot be served: {bad}\n")
        code, output, _ = await run("--unload", "mine@1", "--list", *at)
        assert [line.partition(",")[0] for line in output.splitlines()] == ["mine@2: lstm", f"mine@3: failed: {bad}"]
