"""A replica's side of a call: one message at a time, and nothing goes on behind a caller who has left."""

import asyncio

import grpc
import pytest

from deploy.ray.call import TIMEOUT, Call
from deploy.ray.pace import Pace
from protos.seqstream.v1 import generation_pb2 as pb

FAST = Pace(1e6)


class Carried:
    """What Serve's context carries."""

    def __init__(self, **metadata: str) -> None:
        self.metadata = list(metadata.items())
        self.code = self.details = self.trailing = None

    def invocation_metadata(self):
        return self.metadata

    def set_code(self, code):
        self.code = code

    def set_details(self, details):
        self.details = details

    def set_trailing_metadata(self, trailing):
        self.trailing = trailing


def message(position: int) -> pb.GenerateResponse:
    return pb.GenerateResponse(delta=pb.TokenDelta(position=position))


async def test_a_servicer_is_never_ahead_by_more_than_one_message():
    written = []

    async def handler(call: Call) -> None:
        for position in range(100):
            written.append(position)
            await call.write(message(position).SerializeToString())

    call, taken = Call(Carried(), FAST), 0
    async for received in call.stream(handler(call), pb.GenerateResponse()):
        assert received.delta.position == taken
        taken += 1
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(written) <= taken + 2  # one has room, and one waits for it
    assert taken == 100


async def test_leaving_a_stream_cancels_its_servicer():
    ended = asyncio.Event()

    async def handler(call: Call) -> None:
        try:
            for position in range(100):
                await call.write(message(position).SerializeToString())
        finally:
            ended.set()

    call = Call(Carried(), FAST)
    stream = call.stream(handler(call), pb.GenerateResponse())
    await anext(stream)
    await stream.aclose()
    assert ended.is_set()


async def test_a_status_comes_behind_the_messages_as_an_empty_one():
    async def handler(call: Call) -> None:
        await call.write(message(0).SerializeToString())
        await call.abort(grpc.StatusCode.INTERNAL, "broken", (("key", b"value"),))

    context = Carried()
    call = Call(context, FAST)
    received = [each async for each in call.stream(handler(call), pb.GenerateResponse())]
    assert received == [message(0), pb.GenerateResponse()]
    assert (context.code, context.details) == (grpc.StatusCode.INTERNAL, "broken")
    assert context.trailing == [("key", b"value")]


async def test_what_a_servicer_raises_is_raised():
    async def handler(call: Call) -> None:
        await call.write(message(0).SerializeToString())
        raise ZeroDivisionError

    call = Call(Carried(), FAST)
    with pytest.raises(ZeroDivisionError):
        _ = [each async for each in call.stream(handler(call), pb.GenerateResponse())]


def test_the_time_that_is_left_is_the_callers():
    assert Call(Carried(), FAST).time_remaining() is None
    assert 9 < Call(Carried(**{TIMEOUT: "10.0"}), FAST).time_remaining() <= 10
    assert Call(Carried(**{TIMEOUT: "-1"}), FAST).time_remaining() == 0


async def test_all_streams_of_a_replica_share_its_turns():
    loop, pace = asyncio.get_running_loop(), Pace(1000)
    began = loop.time()
    await asyncio.gather(*(pace.turn() for _ in range(100)))
    assert loop.time() - began >= 0.099 - 0.002  # a timer of the loop may be early by its resolution
    await asyncio.sleep(0.05)
    began = loop.time()
    await pace.turn()
    assert loop.time() - began < 0.05  # turns that nobody took are not made up for, and cost nothing
