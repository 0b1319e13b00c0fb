"""TLS of a server process: certificates that are replaced, and secrets that are told to nobody."""

import asyncio
import json
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.seqstream.v1 import model_pb2
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub
from protos.seqstream.v1.model_pb2_grpc import ModelServiceStub
from service.__main__ import main
from service.client import Client, token_in, trusting
from service.failures import PermissionDenied, Unauthenticated
from service.probe import main as probe
from service.token import new_token
from tests.service.terminal.typed import run
from tests.service.wire.asking import endless, read
from tests.service.wire.certified import Authority
from tests.service.wire.running import ENVIRONMENT, PATIENCE, Process
from tests.service.wire.showing import entry
from tests.service.wire.slow import LONG

USER, ADMIN = new_token(), new_token()
PROMPT = "The quick 안녕"
LIST = model_pb2.ListModelsRequest()


def flags_of(certificate: Path, key: Path, *others: str) -> list[str]:
    return ["--tls-cert", str(certificate), "--tls-key", str(key), *others]


def local(server: Process) -> str:
    """The address by the name in the certificate."""
    return f"localhost:{server.address.rpartition(':')[2]}"


async def trusts(address: str, authority: Authority) -> bool:
    """Whether a new connection that trusts `authority` gets an answer."""
    async with grpc.aio.secure_channel(address, authority.trusted()) as channel:
        try:
            await ModelServiceStub(channel).ListModels(LIST, timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            return False
        return True


async def test_certificates_are_replaced_while_a_stream_runs(process, tmp_path: Path):
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    server = process(*LONG, *flags_of(*old.write("server", "localhost")))
    address = local(server)
    async with grpc.aio.secure_channel(address, old.trusted()) as channel:
        call = GenerationServiceStub(channel).Generate(endless())
        await read(call, 9)
        assert await trusts(address, old)
        assert not await trusts(address, new)
        new.write("server", "localhost")
        async with asyncio.timeout(PATIENCE):
            while not await trusts(address, new):  # noqa: ASYNC110 (another process reads the file)
                await asyncio.sleep(0.1)
        assert not await trusts(address, old)
        assert len(await read(call, 1000)) == 1000, "the old stream goes on"
        assert len((await ModelServiceStub(channel).ListModels(LIST)).models) == 4, "and so does its connection"
        (tmp_path / "server.key").write_text("no key")
        await asyncio.sleep(1.1)
        assert await trusts(address, new), "what is broken is not taken"
        call.cancel()
    server.terminate()
    code, log = await asyncio.to_thread(server.wait)
    assert code == 0
    assert f"read again: {tmp_path / 'server.crt'}" in log
    assert "are no certificate and key in PEM" in log


async def test_no_secret_is_told_by_the_log_the_errors_or_the_list_of_processes(process, tmp_path: Path):
    authority = Authority(tmp_path)
    certificate, key = authority.write("server", "localhost")
    callers = tmp_path / "callers.toml"
    callers.write_text(entry(USER, tenant='"acme"') + entry(ADMIN, role='"admin"'))
    json_log = ["--log-format", "json", "--log-level", "debug"]
    server = process(*flags_of(certificate, key), "--callers", str(callers), *json_log)
    address, wrong = local(server), new_token()
    async with Client(address, credentials=trusting(authority.file), token=USER) as client:
        result = await client.generate("gru", PROMPT, max_new_tokens=9, ignore_end_of_sequence=True).result()
        assert len(result.samples[0].token_ids) == 9
        assert USER not in repr(client._shown)
    for token, tenant, kind in ((wrong, None, Unauthenticated), (None, None, Unauthenticated),
                                (USER, "other", PermissionDenied)):  # fmt: skip
        async with Client(address, credentials=trusting(authority.file), token=token, tenant=tenant) as client:
            with pytest.raises(kind) as refused:
                await client.models()
            assert "sqs_" not in repr(refused.value)
    listed = Path(f"/proc/{server.popen.pid}/cmdline").read_text()  # noqa: ASYNC240
    server.terminate()
    code, log = await asyncio.to_thread(server.wait)
    assert code == 0
    secrets = [USER, ADMIN, wrong, *(line for line in key.read_text().splitlines() if "-" not in line)]
    for secret in secrets:
        assert secret not in log + listed + "".join(server.lines)
    lines = [json.loads(line) for line in log.splitlines()]
    calls = [line for line in lines if line["message"] == "call"]
    assert [(line["method"], line["tenant"], line["status"]) for line in calls] == [
        ("Generate", "acme", "OK"),
        ("ListModels", None, "UNAUTHENTICATED"),
        ("ListModels", None, "UNAUTHENTICATED"),
        ("ListModels", None, "PERMISSION_DENIED"),
    ]


async def test_the_command_line_shows_a_token_from_a_file_or_the_environment(process, tmp_path: Path, monkeypatch):
    authority = Authority(tmp_path)
    callers, file = tmp_path / "callers.toml", tmp_path / "token"
    callers.write_text(entry(USER, tenant='"acme"'))
    file.write_text(f"{USER}\n")
    certificates = [str(path) for path in authority.write("client", "somebody")]
    flags = flags_of(*authority.write("server", "localhost"), "--tls-client-ca", str(authority.file))
    server = process(*flags, "--callers", str(callers))
    asked = ["models", "--address", local(server), "--tls-ca", str(authority.file)]
    shown = ["--tls-cert", certificates[0], "--tls-key", certificates[1]]
    assert (await run(*asked, *shown, "--token-file", str(file)))[0] == 0
    code, _, errors = await run(*asked, *shown)
    assert (code, errors) == (1, "error: no name of the certificate is known here\n")
    monkeypatch.setitem(ENVIRONMENT, "SEQSTREAM_TOKEN", USER)
    code, output, _ = await run(*asked, *shown)
    assert (code, len(output.splitlines())) == (0, 6)
    code, _, errors = await run("models", "--address", "192.0.2.1:1")
    assert (code, errors) == (2, "error: a token goes to 192.0.2.1:1 over TLS only: give credentials\n")
    monkeypatch.setitem(ENVIRONMENT, "SEQSTREAM_TOKEN", f"{USER}\n")
    code, _, errors = await run(*asked, *shown)
    assert (code, errors) == (2, "error: the token is not one word of ASCII\n")
    code, _, errors = await run(*asked, "--tls-cert", certificates[0])
    assert (code, errors) == (2, "error: --tls-cert and --tls-key go together, and with --tls-ca\n")


async def test_a_token_file_is_read_at_every_call(process, tmp_path: Path):
    callers, file = tmp_path / "callers.toml", tmp_path / "token"
    callers.write_text(entry(USER) + entry(ADMIN, role='"admin"'))
    file.write_text(new_token())
    async with Client(process("--callers", str(callers)).address, token=token_in(file)) as client:
        with pytest.raises(Unauthenticated):
            await client.models()
        file.write_text(USER)
        assert len(await client.models()) == 4
        file.write_text("two words")
        with pytest.raises(ValueError, match="holds 2 words; allowed: one, the token"):
            await client.models()


async def test_health_has_a_port_of_its_own_if_asked_for(process, tmp_path: Path, monkeypatch):
    authority = Authority(tmp_path)
    server = process(*flags_of(*authority.write("server", "localhost")), "--health-port", "0")
    (address,) = [line.removeprefix("health on ") for line in server.lines if line.startswith("health on ")]
    async with grpc.aio.insecure_channel(address) as channel:
        response = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert response.status == health_pb2.HealthCheckResponse.SERVING
    monkeypatch.setenv("SEQSTREAM_PORT", server.address.rpartition(":")[2])
    monkeypatch.setenv("SEQSTREAM_HEALTH_PORT", address.rpartition(":")[2])
    assert await asyncio.to_thread(probe, []) == 0, "the health check of a container"
    assert await trusts(local(server), authority)


async def test_a_server_open_to_others_warns(process):
    server = process("--host", "0.0.0.0")
    server.terminate()
    _, log = await asyncio.to_thread(server.wait)
    assert "WARNING service.entrance: 0.0.0.0 is not the loopback address, and without --tls-cert nothing is" in log
    assert "WARNING service.entrance: whoever reaches 0.0.0.0 may call: neither --callers nor --tls-client-ca" in log


def test_what_cannot_be_used_keeps_the_server_from_starting(models_folder: Path, tmp_path: Path, capsys):
    authority = Authority(tmp_path)
    certificate, key = authority.write("server", "localhost")
    _, other = authority.write("other", "localhost")
    empty, nowhere, callers = tmp_path / "empty", tmp_path / "nowhere", tmp_path / "callers.toml"
    empty.touch()
    callers.write_text(f'[[token]]\nid = "{USER}"\n')
    for flags, expected in [
        (["--tls-cert", str(certificate)], "--tls-cert and --tls-key go together"),
        (["--tls-client-ca", str(certificate)], "--tls-client-ca needs --tls-cert and --tls-key"),
        (flags_of(certificate, nowhere), f"{nowhere}: No such file or directory"),
        (flags_of(certificate, other), f"{other}: is not the key of {certificate}"),
        (flags_of(key, key), f"{key}, {key}: are no certificate and key in PEM, without a password"),
        (flags_of(certificate, key, "--tls-client-ca", str(empty)), f"{empty}: holds no certificate in PEM"),
        (["--callers", str(nowhere)], f"{nowhere}: No such file or directory"),
        (["--callers", str(callers)], f"{callers}: token[0].id: String should match pattern '^[0-9a-f]{{12}}$'"),
        (["--callers", str(callers), "--anonymous-role", "admin"], "--anonymous-role goes without --callers, by which "
                                                                   "nobody is anonymous"),
    ]:  # fmt: skip
        assert main(["--models", str(models_folder), *flags]) == 2
        assert capsys.readouterr() == ("", f"error: {expected}\n")
