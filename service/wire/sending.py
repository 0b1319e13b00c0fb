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
                    reply = replies[chunk.sample]
                    # Made one by one: a stream that was far behind finds more than should hold up the loop.
                    for message in reply.deltas(chunk):
                        await write(message)
                        client.written += 1
                    if chunk.finish is not None or reply.matched is not None:
                        for message in _last(asked, reply, stream, chunk):
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


def _last(asked: Asked, reply: SampleReply, stream: Stream, chunk: Chunk) -> Iterator[bytes]:
    """Yield what ends a sample with `chunk`; a stop string ends it here, and in the engine, too."""
    drafted = stream.drafted(chunk.sample)
    if reply.matched is not None:
        stream.cancel_sample(chunk.sample)
        return reply.end({}, stream.timings(), asked.prompt_tokens, drafted)
    finish = chunk.finish
    assert finish is not None, "only what has ended has an end"
    spent = Timings(finish.queue_seconds, finish.prefill_seconds, finish.decode_seconds)
    return reply.end(convert.ending(finish.reason, finish.match), spent, asked.prompt_tokens, drafted)
