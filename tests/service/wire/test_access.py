"""Who may call: every way in, and every refusal."""

import logging
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protos.inference import inference_pb2
from protos.seqstream.v1 import generation_pb2, model_pb2
from service.identity import Identity, Role
from service.token import new_token
from service.wire.access import require_admin
from service.wire.calls import Calls
from service.wire.refusals import Refusal
from service.wire.services import Offered
from tests.service.wire.asking import ask
from tests.service.wire.running import Running, serve
from tests.service.wire.showing import Shown, access, bearer, entry, rewrite
from tests.service.wire.test_errors import refused

USER, ADMIN, EXPIRED = new_token(), new_token(), new_token()
ENTRIES = entry(USER, tenant='"acme"') + entry(ADMIN, role='"admin"') + entry(EXPIRED, expires="2020-01-01T00:00:00Z")
LIST = model_pb2.ListModelsRequest()


@pytest.fixture
def callers(tmp_path: Path) -> Path:
    file = tmp_path / "callers.toml"
    file.write_text(ENTRIES)
    return file


@pytest.fixture
async def guarded(models_folder: Path, callers: Path):
    """A server that asks who calls."""
    async with serve(models_folder, calls=Calls(access(callers))) as server:
        yield server


async def reflect(server: Running, metadata: Shown = ()) -> list[str]:
    """The names of the services."""
    requests = [reflection_pb2.ServerReflectionRequest(list_services="")]
    stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    (response,) = [response async for response in stub.ServerReflectionInfo(iter(requests), metadata=metadata)]
    return [service.name for service in response.list_services_response.service]


def test_only_admins_pass_where_what_is_served_changes():
    require_admin(Identity("acme", Role.ADMIN))
    with pytest.raises(Refusal, match="the call needs the role admin") as found:
        require_admin(Identity("acme"))
    assert found.value.code is grpc.StatusCode.PERMISSION_DENIED
    assert found.value.details[0].reason == "ADMIN_REQUIRED"


async def test_no_method_but_those_of_health_is_open(guarded: Running):
    files = (generation_pb2, model_pb2, reflection_pb2, inference_pb2)
    services = [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]
    methods = [method for service in services for method in service.methods]
    assert {service.full_name for service in services} < set(await reflect(guarded, bearer(USER)))
    assert len(methods) >= 7
    # As health: they tell whether requests are taken, and nothing else.
    methods = [method for method in methods if method.name not in ("ServerLive", "ServerReady", "ModelReady")]
    for method in methods:
        path = f"/{method.containing_service.full_name}/{method.name}"
        open_call = getattr(guarded.channel, f"{'stream' if method.client_streaming else 'unary'}_"
                            f"{'stream' if method.server_streaming else 'unary'}")(path)  # fmt: skip
        code, message, found = await refused(open_call(iter([b""]) if method.client_streaming else b""))
        assert (code, path) == (grpc.StatusCode.UNAUTHENTICATED, path)
        assert found["ErrorInfo"].reason == "CREDENTIALS_MISSING"
        assert message == "authorization: is missing; allowed: Bearer TOKEN"
    health = health_pb2_grpc.HealthStub(guarded.channel)
    response = await health.Check(health_pb2.HealthCheckRequest())
    assert response.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_token_with_the_role_admin_changes_what_is_served(guarded: Running):
    load, unload = model_pb2.LoadModelRequest(model="gru@1"), model_pb2.UnloadModelRequest(model="gru@1")
    method = guarded.model
    for call in (method.LoadModel(load, metadata=bearer(USER)), method.UnloadModel(unload, metadata=bearer(USER))):
        code, _, found = await refused(call)
        assert (code, found["ErrorInfo"].reason) == (grpc.StatusCode.PERMISSION_DENIED, "ADMIN_REQUIRED")
    assert (await guarded.model.LoadModel(load, metadata=bearer(ADMIN))).model.version == 1
    await guarded.model.UnloadModel(unload, metadata=bearer(ADMIN))
    assert "gru@1" not in guarded.models.references


async def test_a_token_lets_in_and_tells_whose_the_call_is(guarded: Running, told):
    events = [event async for event in guarded.generation.Generate(ask(), metadata=bearer(USER))]
    assert len(events) > 2
    line = await told()
    assert (line["tenant"], line["caller"], line["status"]) == ("acme", USER.split("_")[1], "OK")
    await guarded.model.ListModels(LIST, metadata=(("authorization", f"bearer  {ADMIN} "),))
    line = await told()
    assert (line["tenant"], line["caller"]) == (None, ADMIN.split("_")[1])


@pytest.mark.parametrize(
    ("metadata", "code", "reason"),
    [
        (bearer(new_token()), "UNAUTHENTICATED", "TOKEN_INVALID"),
        (bearer(EXPIRED), "UNAUTHENTICATED", "TOKEN_INVALID"),
        (bearer(USER[:-1]), "UNAUTHENTICATED", "TOKEN_INVALID"),
        (bearer(""), "UNAUTHENTICATED", "TOKEN_INVALID"),
        ((("authorization", USER),), "UNAUTHENTICATED", "TOKEN_INVALID"),
        ((("authorization", f"Basic {USER}"),), "UNAUTHENTICATED", "TOKEN_INVALID"),
        (bearer(USER, ("authorization", f"Bearer {ADMIN}")), "INVALID_ARGUMENT", None),
        (bearer(USER, ("x-tenant", "other")), "PERMISSION_DENIED", "TENANT_MISMATCH"),
        (bearer(ADMIN, ("x-tenant", "no name")), "INVALID_ARGUMENT", None),
        (bearer(ADMIN, ("x-tenant", "a"), ("x-tenant", "b")), "INVALID_ARGUMENT", None),
    ],
)
async def test_what_is_not_valid_is_refused_and_not_repeated(
    guarded: Running, caplog, metadata: Shown, code: str, reason: str | None
):
    caplog.set_level(logging.DEBUG)
    found_code, message, found = await refused(guarded.model.ListModels(LIST, metadata=metadata))
    assert found_code.name == code
    if reason is not None:
        assert (found["ErrorInfo"].reason, found["ErrorInfo"].domain) == (reason, "seqstream")
    for _, value in metadata:
        for secret in value.split():
            assert not secret.startswith("sqs_") or secret not in f"{message}{found}{caplog.text}"


async def test_only_an_admin_acts_for_any_tenant(guarded: Running, told):
    await guarded.model.ListModels(LIST, metadata=bearer(USER, ("x-tenant", "acme")))
    assert (await told())["tenant"] == "acme"
    await guarded.model.ListModels(LIST, metadata=bearer(ADMIN, ("x-tenant", "acme")))
    assert (await told())["tenant"] == "acme"


async def test_where_nobody_is_asked_a_call_is_for_whom_it_says(running: Running, told):
    await running.model.ListModels(LIST)
    assert (await told())["tenant"] is None
    await running.model.ListModels(LIST, metadata=(("x-tenant", "acme"),))
    line = await told()
    assert (line["tenant"], line["caller"]) == ("acme", None)
    code, message, _ = await refused(running.model.ListModels(LIST, metadata=(("x-tenant", "-"),)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith("x-tenant is '-'; allowed: 1 to 64 of")


async def test_callers_come_and_go_while_it_runs(guarded: Running, callers: Path, monkeypatch, caplog):
    monkeypatch.setattr("service.watched.LOOK_SECONDS", 0.0)
    guarded_access = guarded.server._calls.access
    guarded_access._callers._next = 0.0
    await guarded.model.ListModels(LIST, metadata=bearer(USER))
    fresh = new_token()
    rewrite(callers, entry(fresh))
    await guarded.model.ListModels(LIST, metadata=bearer(fresh))
    code, _, _ = await refused(guarded.model.ListModels(LIST, metadata=bearer(USER)))
    assert code is grpc.StatusCode.UNAUTHENTICATED
    for broken in (f'[[token]]\nsha256 = "{USER}"', None):
        rewrite(callers, broken)
        await guarded.model.ListModels(LIST, metadata=bearer(fresh))
        await guarded.model.ListModels(LIST, metadata=bearer(fresh))
    complaints = [record.message for record in caplog.records if record.name == "service.watched"]
    assert len(complaints) == 2, "each is told once"
    assert all(line.startswith("what was read before is used on: ") for line in complaints)
    rewrite(callers, entry(USER))
    await guarded.model.ListModels(LIST, metadata=bearer(USER))
    assert USER not in caplog.text


async def test_reflection_can_be_off(models_folder: Path):
    async with serve(models_folder, offered=Offered(reflection=False)) as server:
        await server.model.ListModels(LIST)
        with pytest.raises(grpc.aio.AioRpcError) as found:
            await reflect(server)
    assert found.value.code() is grpc.StatusCode.UNIMPLEMENTED
