"""Callers known by their certificates."""

from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.seqstream.v1 import model_pb2
from service.token import new_token
from service.wire.calls import Calls
from service.wire.tls import Tls
from tests.service.wire.certified import Authority
from tests.service.wire.running import PATIENCE, serve
from tests.service.wire.showing import access, bearer, entry
from tests.service.wire.test_errors import refused

ADMIN = new_token()
LIST = model_pb2.ListModelsRequest()


@pytest.fixture
def callers(tmp_path: Path) -> Path:
    file = tmp_path / "callers.toml"
    names = (
        '[[certificate]]\nname = "batch.acme.example"\ntenant = "acme"\n'
        '[[certificate]]\nname = "operator"\nrole = "admin"\n'
    )
    file.write_text(entry(ADMIN, role='"admin"') + names)
    return file


@asynccontextmanager
async def mutual(models_folder: Path, callers: Path | None, tls: Tls, shown: grpc.ChannelCredentials):
    calls = Calls() if callers is None else Calls(access(callers))
    async with serve(models_folder, calls=calls, tls=tls, trusted=shown) as server:
        yield server


@pytest.mark.parametrize(
    ("names", "common_name", "tenant", "caller"),
    [
        (["batch.acme.example"], None, "acme", "batch.acme.example"),
        (["other.example", "batch.acme.example"], "operator", "acme", "batch.acme.example"),
        ([], "operator", None, "operator"),
    ],
)
async def test_a_certificate_lets_in_by_its_names(
    models_folder: Path, callers: Path, tmp_path: Path, told, names, common_name, tenant, caller
):
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    shown = ours.trusted(*theirs.write("client", *names, common_name=common_name))
    async with mutual(models_folder, callers, ours.server(theirs.file), shown) as server:
        await server.model.ListModels(LIST)
        line = await told()
        assert (line["tenant"], line["caller"]) == (tenant, caller)
        await server.model.ListModels(LIST, metadata=bearer(ADMIN))
        assert (await told())["caller"] == ADMIN.split("_")[1], "a token goes before the certificate"
        code, _, _ = await refused(server.model.ListModels(LIST, metadata=bearer(new_token())))
        assert code is grpc.StatusCode.UNAUTHENTICATED, "also one that is not valid"


async def test_a_certificate_with_unknown_names_is_denied(models_folder: Path, callers: Path, tmp_path: Path):
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    shown = ours.trusted(*theirs.write("client", "stranger.example", common_name="operator"))
    async with mutual(models_folder, callers, ours.server(theirs.file), shown) as server:
        code, _, found = await refused(server.model.ListModels(LIST))
        assert (code.name, found["ErrorInfo"].reason) == ("PERMISSION_DENIED", "CERTIFICATE_UNKNOWN")
        assert found["ErrorInfo"].metadata["names"] == "stranger.example"


async def test_without_a_file_of_callers_any_certificate_of_the_authority_will_do(models_folder: Path, tmp_path: Path):
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    tls = ours.server(theirs.file)
    shown = ours.trusted(*theirs.write("client", "anybody.example"))
    async with mutual(models_folder, None, tls, shown) as server:
        await server.model.ListModels(LIST)
        for strangers in (ours.trusted(), ours.trusted(*ours.write("self", "anybody.example"))):
            async with grpc.aio.secure_channel(server.address, strangers) as channel:
                call = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
                with pytest.raises(grpc.aio.AioRpcError) as found:
                    await call
                assert found.value.code() is grpc.StatusCode.UNAVAILABLE
        probed = await server.server.answer_probes("127.0.0.1", 0)
        async with grpc.aio.insecure_channel(probed) as channel:
            response = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert response.status == health_pb2.HealthCheckResponse.SERVING
            assert await _is_unknown(channel), "health is all there is on that port"


async def _is_unknown(channel: grpc.aio.Channel) -> bool:
    with pytest.raises(grpc.aio.AioRpcError) as found:
        await channel.unary_unary("/seqstream.v1.ModelService/ListModels")(b"")
    return found.value.code() is grpc.StatusCode.UNIMPLEMENTED
