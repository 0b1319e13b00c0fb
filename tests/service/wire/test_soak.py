"""Hundreds of streams at once, some cancelled, some out of time: every row is free afterwards, and every stream that
finished has the text that it has alone."""

import asyncio
import random

import grpc

from protos.seqstream.v1 import generation_pb2 as pb
from tests.service.wire.asking import ask, finishes, read, stop, text_of, tokens_of
from tests.service.wire.running import Running, serve, until

STREAMS = 400
KINDS = 30
PROMPTS = {
    "gru": ["The quick 안녕", "", "def f(x):\n" * 9],
    "transformer-lm": ["The quick 안녕", "🎉", "a" * 40],
    "transformer": ["28 Kasım 1973 Çarşamba", "2026년 11월 22일 일요일", "S"],
}


def request(chance: random.Random) -> pb.GenerateRequest:
    model = chance.choice(list(PROMPTS))
    return ask(
        chance.choice(PROMPTS[model]),
        model,
        seed=chance.getrandbits(53),
        samples=chance.choice([1, 1, 1, 2, 3]),
        sampling=pb.SamplingParameters(
            temperature=chance.choice([0, 0.7, 1.5]),
            top_k=chance.choice([0, 5]),
            top_p=chance.choice([1, 0.8]),
            repetition_penalty=chance.choice([1, 1.2]),
        ),
        stop=stop(chance.choice([1, 10, 60]), stop_strings=chance.choice([[], ["e", "12"]])),
        output=pb.OutputOptions(max_tokens_per_message=chance.choice([1, 4, 64]), logprobs=chance.random() < 0.3),
    )


async def whole(running: Running, kind: pb.GenerateRequest) -> list[pb.GenerateResponse]:
    return await running.events(kind)


async def cancelled(running: Running, kind: pb.GenerateRequest, count: int) -> list[pb.GenerateResponse]:
    call = running.generation.Generate(kind)
    try:
        return await read(call, count)
    except StopAsyncIteration:
        return []
    finally:
        call.cancel()


async def timed(running: Running, kind: pb.GenerateRequest, seconds: float) -> list[pb.GenerateResponse]:
    call = running.generation.Generate(kind, timeout=seconds)
    events = []
    try:
        async for event in call:
            events.append(event)  # noqa: PERF401 (those before the error count)
    except grpc.aio.AioRpcError as error:
        # Or it was refused, since its turn would have come too late.
        assert error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
    return events


async def test_every_row_is_free_and_every_text_as_it_is_alone(models_folder):
    chance = random.Random(3)
    kinds = [request(chance) for _ in range(KINDS)]
    async with serve(models_folder, rows=8, queue_limit=STREAMS) as running:
        alone = [await running.events(kind) for kind in kinds]

        async def stream() -> None:
            which = chance.randrange(KINDS)
            action = chance.choice([whole, whole, cancelled, timed])
            chosen = {whole: (), cancelled: (chance.randrange(1, 9),), timed: (chance.uniform(0.01, 3.0),)}[action]
            events = await action(running, kinds[which], *chosen)
            check(events, alone[which], in_whole=action is whole)

        async with asyncio.TaskGroup() as streams:
            for _ in range(STREAMS):
                streams.create_task(stream())
        await until(running.idle)
        again = [await running.events(kind) for kind in kinds]
    for first, second in zip(alone, again, strict=True):
        check(first, second, in_whole=True)


def check(events: list[pb.GenerateResponse], alone: list[pb.GenerateResponse], in_whole: bool) -> None:
    """Require the tokens and the text of the lone run, for samples that did not finish up to where they came."""
    ends = {finish.sample: finish for finish in finishes(events)}
    assert len(ends) == len(finishes(alone)) or not in_whole
    for sample in {event.delta.sample for event in events}:
        finish = ends.get(sample)
        tokens = tokens_of(events, sample)
        assert tokens == tokens_of(alone, sample)[: len(tokens)]
        if finish is not None and finish.reason != pb.FINISH_REASON_DEADLINE:
            assert tokens == tokens_of(alone, sample)
            assert text_of(events, sample) == text_of(alone, sample)
            assert finish.reason == next(end for end in finishes(alone) if end.sample == sample).reason
        elif finish is None:
            assert text_of(alone, sample).startswith(text_of(events, sample))
