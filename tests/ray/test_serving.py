"""Ray Serve in front of the same servicers: what a caller sees is what a server of our own shows."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import grpc
import psutil
import pytest
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status

from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1 import model_pb2
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub
from protos.seqstream.v1.model_pb2_grpc import ModelServiceStub
from service.client import Client
from service.failures import ClientError, InvalidArgument, NotFound, Overloaded, Unavailable
from service.retry import Retry
from service.wire.failures import failure
from tests.ray.applications import ADDRESS, QUEUE, ROWS
from tests.service.wire.asking import MOST_NEW_TOKENS, endless, read
from tests.service.wire.running import serve

pytestmark = pytest.mark.usefixtures("cluster")

PROMPT = "The quick 안녕 "
OPTIONS = {"seed": 7, "max_new_tokens": 200, "ignore_end_of_sequence": True, "temperature": 0.9}
SECONDS = 60.0


@pytest.fixture
async def client():
    async with Client(ADDRESS, Retry(attempts=1)) as connected:
        yield connected


@pytest.fixture
async def stub():
    async with grpc.aio.insecure_channel(ADDRESS) as channel:
        yield GenerationServiceStub(channel)


async def until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (what is waited for is another process)
            await asyncio.sleep(0.1)


async def until_idle(client: Client, model: str) -> None:
    """Return when no row of the model runs; it must have one replica."""
    async with asyncio.timeout(10):
        while (await client.model(model)).running:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def rich(error: grpc.aio.AioRpcError) -> dict[str, object]:
    """Return the google.rpc details of a status, by type."""
    status = Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    found = {}
    for packed in status.details:
        kind = getattr(details, packed.TypeName().rpartition(".")[2])()
        assert packed.Unpack(kind)
        found[type(kind).__name__] = kind
    assert found["RequestInfo"].request_id
    return found


async def test_tokens_arrive_while_the_stream_runs(stub: GenerationServiceStub):
    call = stub.Generate(endless(model="lone"), timeout=SECONDS)
    started, *deltas = await read(call, 20)
    assert started.started.model == "lone@1"
    assert [len(event.delta.token_ids) for event in deltas] == [1] * 19
    assert not call.done()
    call.cancel()


@pytest.mark.parametrize("samples", [1, 3])
async def test_tokens_text_and_scores_are_those_of_a_server_of_our_own(client: Client, folder: Path, samples: int):
    asked = {"model": "gru", "prompt": PROMPT, "samples": samples, "logprobs": True, "prompt_logprobs": True, **OPTIONS}
    async with serve(folder) as plain, Client(plain.address) as direct:
        expected = await direct.generate(**asked).result()
    result = await client.generate(**asked).result()
    assert [(s.text, s.token_ids, s.logprobs) for s in result.samples] == [
        (s.text, s.token_ids, s.logprobs) for s in expected.samples
    ]
    assert result.prompt_logprobs == expected.prompt_logprobs
    assert [s.finished.reason for s in result.samples] == ["MAX_TOKENS"] * samples


async def test_the_other_calls_answer_as_a_server_of_our_own(client: Client, folder: Path):
    async def answers(asked: Client) -> list[object]:
        return [
            await asked.score("gru", PROMPT, " fox", top_logprobs=2),
            await asked.tokenize("gru", PROMPT),
            await asked.detokenize("gru", [66, 67, 68]),
            await asked.model("gru"),
        ]

    async with serve(folder) as plain, Client(plain.address) as direct:
        expected = await answers(direct)
    assert await answers(client) == expected


async def test_each_application_lists_its_own_model():
    async with grpc.aio.insecure_channel(ADDRESS) as channel:
        for name in ("gru", "lone"):
            call = ModelServiceStub(channel).ListModels(
                model_pb2.ListModelsRequest(), metadata=(("application", name),), timeout=SECONDS
            )
            assert [model.name for model in (await call).models] == [name]


async def test_an_unknown_model_and_an_unknown_version_are_not_found(client: Client):
    with pytest.raises(NotFound, match="nope"):
        await client.generate("nope", PROMPT).result()
    with pytest.raises(NotFound, match="gru@9") as caught:
        await client.generate("gru@9", PROMPT).result()
    assert caught.value.known == ("gru@1",)


async def test_bad_fields_are_named_in_the_status_of_a_stream_and_of_an_answer(client: Client):
    with pytest.raises(InvalidArgument, match=r"sampling\.temperature") as caught:
        await client.generate("gru", PROMPT, temperature=-1.0, max_new_tokens=0).result()
    assert [violation.field for violation in caught.value.violations] == ["sampling.temperature", "stop.max_new_tokens"]
    with pytest.raises(InvalidArgument, match="continuation_text"):
        await client.score("gru", PROMPT, "")


async def test_a_status_is_all_that_comes_of_a_refused_stream(stub: GenerationServiceStub):
    received = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for event in stub.Generate(pb.GenerateRequest(model="gru"), timeout=SECONDS):
            received.append(event)  # noqa: PERF401 (what came before the error counts)
    assert received == []
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [bad.field for bad in rich(caught.value)["BadRequest"].field_violations] == ["prompt"]


async def test_full_queues_refuse_with_the_time_to_come_back(stub: GenerationServiceStub):
    calls = [stub.Generate(endless(model="gru"), timeout=SECONDS) for _ in range(2 * (ROWS + QUEUE) + 2)]
    refused = [error for error in await asyncio.gather(*map(_first_error, calls)) if error is not None]
    for call in calls:
        call.cancel()
    assert len(refused) >= 2
    for error in refused:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        found = rich(error)
        assert found["ErrorInfo"].reason == "QUEUE_FULL"
        assert found["RetryInfo"].retry_delay.ToNanoseconds() > 0
        assert found["QuotaFailure"].violations
        assert isinstance(told := failure(error), Overloaded)
        assert told.retry_after > 0


async def _first_error(call: grpc.aio.UnaryStreamCall) -> grpc.aio.AioRpcError | None:
    """Return how a call fails, or None: it is accepted."""
    try:
        await read(call, 1)
    except grpc.aio.AioRpcError as error:
        return error
    return None


async def test_a_cancelled_stream_frees_its_rows(stub: GenerationServiceStub, client: Client):
    await until_idle(client, "lone")
    call = stub.Generate(endless(model="lone", samples=3), timeout=SECONDS)
    await read(call, 5)
    assert (await client.model("lone")).running == 3
    call.cancel()
    await until_idle(client, "lone")


async def test_a_deadline_ends_a_stream_with_what_it_has_and_frees_its_row(client: Client):
    await until_idle(client, "lone")
    options = {**OPTIONS, "max_new_tokens": MOST_NEW_TOKENS, "timeout": 1.0}
    result = await client.generate("lone", PROMPT, **options).result()
    assert result.samples[0].finished.reason == "DEADLINE"
    assert 0 < len(result.samples[0].token_ids) < MOST_NEW_TOKENS
    await until_idle(client, "lone")


class Noting(Retry):
    """A retry that tells what it was for."""

    failures: list[ClientError]

    def pause(self, error: ClientError, attempts: int) -> float | None:
        self.failures.append(error)
        return super().pause(error, attempts)


async def test_a_stream_whose_replica_is_killed_goes_on_with_the_same_tokens(replicas):
    await until(lambda: len(replicas("gru")) == 2)
    asked = {"model": "gru", "prompt": PROMPT, **OPTIONS, "max_new_tokens": 1500, "max_tokens_per_message": 1}
    retry = Noting(attempts=20)
    object.__setattr__(retry, "failures", [])
    tokens, text, before = [], [], {}
    async with Client(ADDRESS, retry) as client:
        undisturbed = (await client.generate(**asked).result()).samples[0]
        async for delta in client.generate(**asked):
            tokens += delta.token_ids
            text.append(delta.text)
            if len(tokens) == 50:
                before = {replica: _cpu_seconds(replica) for replica in replicas("gru")}
            if len(tokens) == 400:
                os.kill(_busiest(before).pid, signal.SIGKILL)
    assert [type(failure) for failure in retry.failures] == [Unavailable] * len(retry.failures)
    assert retry.failures, "the replica that was killed did not run the stream"
    assert (tuple(tokens), "".join(text)) == (undisturbed.token_ids, undisturbed.text)
    await until(lambda: len(replicas("gru")) == 2)


def _busiest(before: dict[psutil.Process, float]) -> psutil.Process:
    return max(before, key=lambda replica: _cpu_seconds(replica) - before[replica])


def _cpu_seconds(replica: psutil.Process) -> float:
    times = replica.cpu_times()
    return times.user + times.system


async def test_a_killed_replica_is_unavailable_to_any_client(stub: GenerationServiceStub, replicas):
    await until(lambda: len(replicas("gru")) == 2)
    calls = [stub.Generate(endless(model="gru"), timeout=SECONDS) for _ in range(4)]
    for call in calls:
        await read(call, 3)
    before = {replica: _cpu_seconds(replica) for replica in replicas("gru")}
    await asyncio.sleep(0.5)
    os.kill(_busiest(before).pid, signal.SIGKILL)
    done, left = await asyncio.wait([asyncio.ensure_future(_end(call)) for call in calls], timeout=10)
    for call in calls:
        call.cancel()
    await asyncio.wait(left) if left else None
    errors = [task.result() for task in done]
    assert errors, "all of the streams ran on the other replica"
    for error in errors:
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert rich(error)["ErrorInfo"].reason == "REPLICA_LOST"


async def _end(call: grpc.aio.UnaryStreamCall) -> grpc.aio.AioRpcError | None:
    try:
        async for _ in call:
            pass
    except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
        return error if isinstance(error, grpc.aio.AioRpcError) else None
    return None


async def test_streams_make_a_second_replica_and_their_end_takes_it_away(stub: GenerationServiceStub, replicas):
    await until(lambda: len(replicas("lone")) == 1)
    calls = [stub.Generate(endless(model="lone"), timeout=SECONDS) for _ in range(4)]
    for call in calls:
        await read(call, 1)
    reading = [asyncio.ensure_future(_end(call)) for call in calls]
    await until(lambda: len(replicas("lone")) == 2)
    for call in calls:
        call.cancel()
    await asyncio.wait(reading)
    await until(lambda: len(replicas("lone")) == 1)
