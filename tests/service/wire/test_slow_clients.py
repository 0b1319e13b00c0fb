"""Clients that do not read what they asked for: bounded, ended with a reason, and their rows freed."""

import asyncio
from contextlib import asynccontextmanager

import grpc
import pytest

from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub
from service.failures import SlowConsumer
from service.wire.failures import failure
from service.wire.limits import Bounds, Limits
from tests.service.wire.asking import ask, endless, finishes, read, stop, tokens_of
from tests.service.wire.running import Running, serve, until
from tests.service.wire.test_errors import found_in


@asynccontextmanager
async def slow(running: Running):
    """A stub whose connection takes no more than the least window of HTTP/2 before its messages are read."""
    options = (("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.insecure_channel(running.address, options=options) as channel:
        yield GenerationServiceStub(channel)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (Bounds(tokens=400, seconds=600.0), "does not keep up"),
        (Bounds(tokens=1 << 40, seconds=2.0), "has read nothing"),
    ],
    ids=["tokens", "seconds"],
)
async def test_a_client_that_stops_reading_is_ended_and_told_why(models_folder, bounds: Bounds, words: str):
    async with serve(models_folder, limits=Limits(bounds=bounds)) as running, slow(running) as stub:
        call = stub.Generate(endless(samples=2))
        await read(call, 1)
        await until(running.idle)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [event async for event in call]
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert words in caught.value.details()
        found = found_in(caught.value)
        assert found["ErrorInfo"].reason == "SLOW_CONSUMER"
        assert found["ErrorInfo"].metadata["tokens"] == str(bounds.tokens)
        assert isinstance(failure(caught.value), SlowConsumer)


async def test_what_waits_for_a_client_that_does_not_read_is_forgotten_with_its_row(models_folder):
    async with serve(models_folder, limits=Limits(bounds=Bounds(tokens=400))) as running, slow(running) as stub:
        call = stub.Generate(endless())
        await read(call, 1)
        streams = list(running.models.find("gru").engine._streams)
        await until(running.idle)
        assert sum(stream.held for stream in streams) == 0
        call.cancel()


async def test_a_client_that_is_ended_and_goes_away_leaves_no_traceback(models_folder, caplog):
    async with serve(models_folder, limits=Limits(bounds=Bounds(tokens=400))) as running, slow(running) as stub:
        call = stub.Generate(endless())
        await read(call, 1)
        await until(running.idle)
        call.cancel()
        await asyncio.sleep(0.3)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_client_that_pauses_within_the_bounds_gets_every_token(models_folder):
    async with serve(models_folder, limits=Limits(bounds=Bounds(tokens=100_000))) as running, slow(running) as stub:
        call = stub.Generate(ask(stop=stop(3000)))
        first = await read(call, 1)
        await asyncio.sleep(2.5)
        events = [*first, *[event async for event in call]]
        assert len(tokens_of(events)) == finishes(events)[0].usage.generated_tokens == 3000


async def test_the_time_in_which_a_stream_has_no_news_is_not_the_client_s(models_folder):
    async with serve(models_folder, rows=1, limits=Limits(bounds=Bounds(seconds=1.0))) as running:
        first = running.generation.Generate(endless())
        second = running.generation.Generate(ask())
        reading = asyncio.create_task(_read_for(first, 2.5))
        assert len(await read(second, 1)) == 1  # and then it waits in the queue
        await reading
        first.cancel()
        assert finishes([event async for event in second])


async def _read_for(call: grpc.aio.UnaryStreamCall, seconds: float) -> None:
    async with asyncio.timeout(seconds + 60):
        end = asyncio.get_running_loop().time() + seconds
        async for _ in call:
            if asyncio.get_running_loop().time() > end:
                return
