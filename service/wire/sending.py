"""A generation on its way: what the engine hands out goes to the client, in the messages of whatever it speaks.

Knows nothing about how requests come in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

from service.chunk import Chunk, Timings
from service.stream import Stream
from service.wire import convert
from service.wire.asked import Asked
from service.wire.calls import Call
from service.wire.limits import Bounds
from service.wire.patience import patience
from service.wire.sample_reply import SampleReply

Write = Callable[[bytes], Awaitable[None]]


async def send(
    asked: Asked,
    replies: Mapping[int, SampleReply],
    write: Write,
    call: Call,
    bounds: Bounds,
    first: Iterable[bytes] = (),
) -> None:
    """Generate what was asked for and write `first`, then the replies of all samples, by their index.

    Raises:
        EngineError: the engine does not take it, or has failed.
        Refusal: RESOURCE_EXHAUSTED, the client does not read.
    """
    stream = asked.model.engine.submit(asked.generation)
    try:
        async with patience(stream, bounds) as client:
            for message in first:
                await write(message)
            while not stream.done:
                for chunk in await stream.receive():
                    for message in _messages(asked, replies[chunk.sample], stream, chunk):
                        await write(message)
                        client.written += 1
    finally:
        stream.cancel()
        call.timings = stream.timings()
        call.tokens = sum(reply.fresh for reply in replies.values())
        call.finishes = reasons(replies.values())
        if call.span is not None:
            call.span.detokenized(sum(reply.text_seconds for reply in replies.values()))


def reasons(replies: Iterable[SampleReply]) -> list[str]:
    """Return why samples have ended, those that have."""
    return [reply.reason for reply in replies if reply.reason is not None]


def _messages(asked: Asked, reply: SampleReply, stream: Stream, chunk: Chunk) -> Iterator[bytes]:
    """Yield what `chunk` brings; a stop string in it ends the sample, here and in the engine."""
    # One by one: what a stream that was far behind finds can be more than the loop should be held up for.
    yield from reply.deltas(chunk)
    if reply.matched is not None:
        stream.cancel_sample(chunk.sample)
        yield from reply.end({}, stream.timings(), asked.prompt_tokens, stream.drafted(chunk.sample))
    elif (finish := chunk.finish) is not None:
        spent = Timings(finish.queue_seconds, finish.prefill_seconds, finish.decode_seconds)
        ending = convert.ending(finish.reason, finish.match)
        yield from reply.end(ending, spent, asked.prompt_tokens, stream.drafted(chunk.sample))
