"""Metrics of a server process, as Prometheus reads them, against what its calls are told and count themselves."""

import asyncio
import socket
import urllib.request
from collections.abc import Callable

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1 import model_pb2
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub
from protos.seqstream.v1.model_pb2_grpc import ModelServiceStub
from tests.service.wire.asking import MOST_NEW_TOKENS, ask, finishes, stop, tokens_of
from tests.service.wire.running import PATIENCE, Process, open_process
from tests.service.wire.slow import LONG

GAUGES = ("num_requests_running", "num_requests_waiting", "num_tokens_waiting", "rows_running")
METRICS = ("--metrics-port", "0", "--rows", "2")


class Scrape:
    """What one scrape found."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.values = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def __getitem__(self, name: str) -> float:
        """The value of a metric of gru@2."""
        return self.of("gru@2", name)

    def of(self, model: str, name: str) -> float:
        return self.values["seqstream_" + name, ("model_name", model)]

    def calls(self, model: str, method: str, code: str, tenant: str = "-") -> float:
        labels = (("code", code), ("method", method), ("model_name", model), ("tenant", tenant))
        return self.values.get(("seqstream_requests_total", *labels), 0)


def url_of(server: Process) -> str:
    (line,) = [line for line in server.lines if line.startswith("metrics on ")]
    return line.removeprefix("metrics on ")


async def scrape(server: Process) -> Scrape:
    def read() -> str:
        with urllib.request.urlopen(url_of(server), timeout=PATIENCE) as response:
            assert response.headers["Content-Type"].startswith("text/plain; version=")
            return response.read().decode()

    return Scrape(await asyncio.to_thread(read))


async def scrape_until(server: Process, condition: Callable[[Scrape], bool]) -> Scrape:
    """Scrape until a condition holds: a server is told of a cancellation only some time after its client."""
    async with asyncio.timeout(PATIENCE):
        while not condition(found := await scrape(server)):  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.02)
    return found


async def busy(server: Process, *expected: float) -> Scrape:
    """Scrape until the gauges of gru@2 are these."""
    return await scrape_until(server, lambda found: [found[name] for name in GAUGES] == list(expected))


async def begin(stub: GenerationServiceStub, request: pb.GenerateRequest) -> tuple[grpc.aio.UnaryStreamCall, int]:
    """Start a generation. Returns its call and how many tokens its prompt has."""
    call = stub.Generate(request, timeout=PATIENCE)
    return call, (await anext(aiter(call))).started.prompt_tokens


async def until_draining(channel: grpc.aio.Channel) -> None:
    async with asyncio.timeout(PATIENCE):
        while await ModelServiceStub(channel).ListModels(model_pb2.ListModelsRequest()).code() is grpc.StatusCode.OK:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.fixture
async def server(process):
    """A server with two rows for each model."""
    return process(*METRICS, *LONG)


@pytest.fixture
async def stub(server):
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield GenerationServiceStub(channel)


async def test_an_idle_server_tells_its_rows_and_that_nothing_happened(server):
    found = await scrape(server)
    for model in ("gru@1", "gru@2", "transformer-lm@1", "transformer@1"):
        assert found.of(model, "rows") == 2
        assert found.of(model, "state_bytes") > 0
        for name in (*GAUGES, "prompt_tokens_total", "generation_tokens_total"):
            assert found.of(model, name) == 0
    assert found.values["process_resident_memory_bytes",] > 1e7
    assert found.values["process_cpu_seconds_total",] > 0
    assert "python_info" not in found.text


async def test_state_bytes_are_those_that_the_model_service_tells_times_the_rows(server):
    async with grpc.aio.insecure_channel(server.address) as channel:
        response = await ModelServiceStub(channel).GetModel(model_pb2.GetModelRequest(model="transformer-lm"))
    found = await scrape(server)
    assert found.of("transformer-lm@1", "state_bytes") == 2 * response.model.load.state_bytes_per_row
    assert found.calls("transformer-lm@1", "GetModel", "OK") == 1


async def test_requests_that_run_and_wait_are_told_with_the_tokens_of_those_that_wait(server, stub):
    endless = stop(MOST_NEW_TOKENS)
    running = [(await begin(stub, ask(stop=endless)))[0] for _ in range(2)]
    await busy(server, 2, 0, 0, 2)
    waiting, counts = zip(
        await begin(stub, ask("a waiting prompt", stop=endless)), await begin(stub, ask(stop=endless)), strict=True
    )
    assert counts[0] != counts[1]
    found = await scrape(server)
    assert [found[name] for name in GAUGES] == [2, 2, sum(counts), 2]
    waiting[0].cancel()
    await busy(server, 2, 1, counts[1], 2)
    running[0].cancel()  # the next takes its row
    await busy(server, 2, 0, 0, 2)
    for call in (running[1], waiting[1]):
        call.cancel()
    await busy(server, 0, 0, 0, 0)
    await scrape_until(server, lambda found: found.calls("gru@2", "Generate", "CANCELLED") == 4)


async def test_samples_of_one_request_are_rows(server, stub):
    call, _ = await begin(stub, ask(stop=stop(MOST_NEW_TOKENS), samples=2))
    assert (await busy(server, 1, 0, 0, 2)).of("gru@1", "rows_running") == 0
    call.cancel()
    await busy(server, 0, 0, 0, 0)


async def test_tokens_are_counted_as_clients_count_them(server, stub):
    events = [event async for event in stub.Generate(ask(), timeout=PATIENCE)]
    (finished,) = finishes(events)
    found = await busy(server, 0, 0, 0, 0)
    assert found["prompt_tokens_total"] == finished.usage.prompt_tokens > 1
    assert found["generation_tokens_total"] == finished.usage.generated_tokens == 40
    assert found.of("gru@1", "generation_tokens_total") == 0
    resumed = ask(resume_token_ids=tokens_of(events)[:25])
    assert len(tokens_of([event async for event in stub.Generate(resumed, timeout=PATIENCE)])) == 15
    found = await busy(server, 0, 0, 0, 0)
    assert found["generation_tokens_total"] == 40 + 15
    assert found["prompt_tokens_total"] == 2 * finished.usage.prompt_tokens


async def test_tokens_of_a_source_are_prompt_tokens(server, stub):
    request = ask("2026년 11월 22일", "transformer", stop=stop(5))
    (finished,) = finishes([event async for event in stub.Generate(request, timeout=PATIENCE)])
    # Behind a source the prompt is begin-of-sequence alone, which a client is not told of.
    assert (await scrape(server)).of("transformer@1", "prompt_tokens_total") == finished.usage.prompt_tokens + 1


async def test_a_long_prompt_counts_once_however_many_pieces_it_is_consumed_in(process):
    server = process(*METRICS, "--chunk-tokens", "3")
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = GenerationServiceStub(channel).Generate(ask("x" * 100), timeout=PATIENCE)
        (finished,) = finishes([event async for event in call])
    assert (await scrape(server))["prompt_tokens_total"] == finished.usage.prompt_tokens > 30


async def test_calls_are_counted_by_model_method_and_status(server, stub):
    for request, code in [
        (ask(stop=stop(3)), "OK"),
        (ask(stop=stop(3)), "OK"),
        (ask(sampling=pb.SamplingParameters(temperature=-1)), "INVALID_ARGUMENT"),
        (ask(model="nope"), "NOT_FOUND"),
    ]:
        call = stub.Generate(request, timeout=PATIENCE)
        while code == "OK" and await call.read() is not grpc.aio.EOF:
            pass
        assert (await call.code()).name == code
    await stub.Tokenize(pb.TokenizeRequest(model="gru@1", text="x"))
    found = await scrape(server)
    assert found.calls("gru@2", "Generate", "OK") == 2
    assert found.calls("gru@2", "Generate", "INVALID_ARGUMENT") == 1
    assert found.calls("-", "Generate", "NOT_FOUND") == 1
    assert found.calls("gru@1", "Tokenize", "OK") == 1
    # A name that a client made up labels nothing: there are no more series than models, methods and statuses.
    assert "nope" not in found.text


async def test_metrics_are_served_until_the_server_has_drained(process):
    server = process(*METRICS, *LONG, "--drain-seconds", "600")
    async with grpc.aio.insecure_channel(server.address) as channel:
        call, _ = await begin(GenerationServiceStub(channel), ask(stop=stop(MOST_NEW_TOKENS)))
        await busy(server, 1, 0, 0, 1)
        server.terminate()
        await until_draining(channel)
        assert (await scrape(server))["num_requests_running"] == 1
        call.cancel()
    assert (await asyncio.to_thread(server.wait))[0] == 0


def test_without_a_port_there_are_none(process):
    assert not [line for line in process().lines if "metrics" in line]


def test_a_port_in_use_is_one_line(models_folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = open_process(
            ["--models", str(models_folder), "--port", "0", "--threads", "1", "--metrics-port", str(port)]
        )
        output, errors = server.communicate(timeout=PATIENCE)
    assert (server.returncode, output) == (2, "")
    assert errors == f"error: cannot serve metrics on 127.0.0.1:{port}: Address already in use\n"


def test_a_grpc_port_in_use_ends_metrics_too(models_folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = open_process(
            ["--models", str(models_folder), "--port", str(port), "--threads", "1", "--metrics-port", "0"]
        )
        output, errors = server.communicate(timeout=PATIENCE)
    assert (server.returncode, output) == (2, "")
    assert errors == f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n"
