"""docker-compose.yml brought up with podman-compose: called from outside, disturbed, and taken down."""

import asyncio
import base64
import http.client
import os
import re
import signal
import ssl
import urllib.request
from collections.abc import Callable

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.seqstream.v1 import generation_pb2 as pb
from service.client import Client
from service.wire.continued import Generation
from tests.containers.stack import Stack, wait_until

pytestmark = pytest.mark.containers
STREAMS, TOKENS = 8, 3000


def address(stack: Stack) -> str:
    return f"127.0.0.1:{stack.ports['GRPC']}"


async def take(generation: Generation, counts: list[int], number: int) -> tuple[int, ...]:
    tokens: list[int] = []
    async for delta in generation:
        tokens += delta.token_ids
        counts[number] = len(tokens)
    return tuple(tokens)


async def streams(stack: Stack, disturb: Callable[[], None] | None = None) -> list[tuple[int, ...]]:
    """Return the tokens of all streams. `disturb` is called in the midst of them."""
    counts = [0] * STREAMS
    async with Client(address(stack)) as client:
        options = {"max_new_tokens": TOKENS, "ignore_end_of_sequence": True, "temperature": 1.0}
        generations = [client.generate("stdlib", "def ", seed=seed, **options) for seed in range(STREAMS)]
        tasks = [asyncio.create_task(take(each, counts, number)) for number, each in enumerate(generations)]
        if disturb is not None:
            while min(counts) < 50:
                await asyncio.sleep(0.01)
                assert not any(task.done() for task in tasks), "the streams are too short for this test"
            await asyncio.to_thread(disturb)
        return await asyncio.gather(*tasks)


@pytest.fixture(scope="module")
def undisturbed(stack: Stack) -> list[tuple[int, ...]]:
    tokens = asyncio.run(streams(stack))
    assert [len(each) for each in tokens] == [TOKENS] * STREAMS
    assert len(set(tokens)) == STREAMS
    return tokens


async def test_a_client_outside_generates_from_both_models(stack: Stack):
    async with Client(address(stack)) as client:
        assert {model.name for model in await client.models()} == {"stdlib", "dates"}
        result = await client.generate("dates", "2026년 11월 22일 일요일", max_new_tokens=5).result()
    assert len(result.samples) == 1


def test_training_again_keeps_what_is_there(stack: Stack):
    train = stack.container("train")
    before = len(stack.engine.podman("logs", train).splitlines())
    stack.engine.podman("start", "--attach", train)
    lines = stack.engine.podman("logs", train).splitlines()[before:]
    assert sum(line.endswith("is there already") for line in lines) == 4
    assert stack.engine.inspect(train)["State"]["ExitCode"] == 0


def test_the_browser_is_answered_by_grpc_web(stack: Stack):
    request = pb.GenerateRequest(model="stdlib", text="def ", stop=pb.StopConditions(max_new_tokens=3))
    payload = request.SerializeToString()
    call = urllib.request.Request(
        f"http://127.0.0.1:{stack.ports['WEB']}/seqstream.v1.GenerationService/Generate",
        data=base64.b64encode(b"\0" + len(payload).to_bytes(4, "big") + payload),
        headers={
            "content-type": "application/grpc-web-text",
            "accept": "application/grpc-web-text",
            "x-grpc-web": "1",
            "origin": "http://localhost:5173",
        },
    )
    with urllib.request.urlopen(call, timeout=30) as answer:
        assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"
        # Every chunk of the body is padded by itself.
        body = b"".join(base64.b64decode(part + b"=" * (-len(part) % 4)) for part in answer.read().split(b"=") if part)
    responses, trailers = [], b""
    while body:
        kind, size = body[0], int.from_bytes(body[1:5], "big")
        message, body = body[5 : 5 + size], body[5 + size :]
        if kind & 0x80:
            trailers += message
        else:
            responses.append(pb.GenerateResponse.FromString(message))
    assert responses[0].HasField("started")
    assert sum(len(response.delta.token_ids) for response in responses) == 3
    assert b"grpc-status:0" in trailers


@pytest.mark.parametrize("door", ["WEB", "WEB_TLS"])
def test_the_page_comes_from_where_it_calls(stack: Stack, door: str):
    trusting = ssl.create_default_context(cafile=stack.certificates / "tls.crt")
    scheme, context = ("https", trusting) if door == "WEB_TLS" else ("http", None)
    origin = f"{scheme}://localhost:{stack.ports[door]}"
    with urllib.request.urlopen(f"{origin}/", timeout=30, context=context) as answer:
        page = answer.read().decode()
        policy = answer.headers["content-security-policy"]
    assert "<title>seqstream</title>" in page
    assert "connect-src 'self'" in policy
    for file in re.findall(r'(?:src|href)="\./(\S+)"', page):
        with urllib.request.urlopen(f"{origin}/{file}", timeout=30, context=context) as answer:
            assert "immutable" in answer.headers["cache-control"]
            assert len(answer.read()) > 100


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [("http://localhost:5173", True), ("https://127.0.0.1", True), ("http://localhost.example.com", False)],
)
def test_only_pages_of_this_machine_are_invited(stack: Stack, origin: str, allowed: bool):
    headers = {"origin": origin, "access-control-request-method": "POST"}
    connection = http.client.HTTPConnection("127.0.0.1", stack.ports["WEB"], timeout=30)
    connection.request("OPTIONS", "/seqstream.v1.GenerationService/Generate", headers=headers)
    answer = connection.getresponse()
    assert answer.headers["access-control-allow-origin"] == (origin if allowed else None)
    connection.close()


async def test_envoy_ends_tls(stack: Stack):
    authority = (stack.certificates / "tls.crt").read_bytes()
    credentials = grpc.ssl_channel_credentials(authority)
    async with grpc.aio.secure_channel(f"localhost:{stack.ports['GRPC_TLS']}", credentials) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_the_health_checks_of_envoy_and_prometheus_pass(stack: Stack):
    for service in ("envoy", "prometheus"):
        stack.engine.podman("healthcheck", "run", stack.container(service))


def test_prometheus_sees_both_servers(stack: Stack):
    def up() -> int:
        targets = stack.prometheus("targets")["activeTargets"]
        return sum(target["health"] == "up" for target in targets)

    wait_until(lambda: up() == 2, "two targets up")
    found = stack.prometheus("query?query=seqstream_rows")["result"]
    assert {(sample["metric"]["model_name"], sample["value"][1]) for sample in found} == {
        ("stdlib@1", "32"),
        ("dates@1", "32"),
    }
    assert len({sample["metric"]["instance"] for sample in found}) == 2


def test_every_container_is_hardened(stack: Stack):
    for name in stack.containers():
        found = stack.engine.inspect(name)
        assert found["HostConfig"]["ReadonlyRootfs"], name
        assert not found["HostConfig"]["Privileged"], name
        assert not found["EffectiveCaps"], name
        assert "no-new-privileges" in found["HostConfig"]["SecurityOpt"], name
        assert found["Config"]["User"].split(":")[0] not in ("", "0", "root"), name
        assert found["HostConfig"]["Memory"] > 0, name


async def test_a_replica_that_is_stopped_loses_no_stream(stack: Stack, undisturbed: list[tuple[int, ...]]):
    stopped = stack.servers()[0]
    busy = []

    def stop() -> None:
        busy.append(stack.running(stopped))
        stack.engine.podman("stop", stopped)

    assert await streams(stack, stop) == undisturbed
    assert busy[0] > 0
    state = stack.engine.inspect(stopped)["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)
    stack.engine.podman("start", stopped)
    stack.wait_for_healthy(2)


async def test_a_replica_that_is_killed_loses_no_token(stack: Stack, undisturbed: list[tuple[int, ...]]):
    killed = stack.servers()[1]
    busy = []

    def kill() -> None:
        busy.append(stack.running(killed))
        os.kill(stack.engine.inspect(killed)["State"]["Pid"], signal.SIGKILL)

    assert await streams(stack, kill) == undisturbed
    assert busy[0] > 0
    assert stack.engine.inspect(killed)["State"]["ExitCode"] == 137
    stack.engine.podman("start", killed)
    stack.wait_for_healthy(2)


async def test_it_serves_on_after_all_that(stack: Stack, undisturbed: list[tuple[int, ...]]):
    assert await streams(stack) == undisturbed
