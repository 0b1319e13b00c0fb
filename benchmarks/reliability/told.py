"""Generations over the bare wire, alone and together: every token with the bits of its log-probabilities."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from benchmarks.reliability.asked import Asked
from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub as Stub
from service.wire.options import generate_request

# A token's id; its log-probability and those of the alternatives.
Token = tuple[int, tuple[float, ...]]
_SPREAD_SECONDS = 0.3
_MOST_EVENTS = 20


async def tell(stub: Stub, asked: Asked, before: Sequence[Token] = ()) -> list[Token]:
    """Return all tokens, or those that follow `before`. Raises grpc.aio.AioRpcError."""
    request = generate_request(asked.model, asked.prompt, **asked.options)
    request.resume_token_ids.extend(token for token, _ in before)
    tokens: list[Token] = []
    async for event in stub.Generate(request):
        tokens += [_token(scored) for scored in event.delta.logprobs]
    return tokens


async def crowd(stub: Stub, asked: Sequence[Asked], before: Sequence[list[Token]] | None = None) -> list[list[Token]]:
    """Return the tokens of all of them, asked for at once; of each, those that follow its part of `before`."""
    begun = [[]] * len(asked) if before is None else before
    return await asyncio.gather(*(tell(stub, *pair) for pair in zip(asked, begun, strict=True)))


async def few_at_a_time(stub: Stub, asked: Sequence[Asked], most: int) -> list[list[Token]]:
    """Return the tokens of all of them, `most` at a time."""
    places = asyncio.Semaphore(most)

    async def take(one: Asked) -> list[Token]:
        async with places:
            return await tell(stub, one)

    return await asyncio.gather(*map(take, asked))


async def among_strangers(
    stub: Stub, asked: Sequence[Asked], strangers: Sequence[Asked], dice: random.Random
) -> list[list[Token]]:
    """Return the tokens of all of them, each asked for at some moment, while others come and are cancelled anywhere."""

    async def comer(one: Asked) -> list[Token]:
        await asyncio.sleep(dice.uniform(0, _SPREAD_SECONDS))
        return await tell(stub, one)

    async def goer(one: Asked) -> None:
        await asyncio.sleep(dice.uniform(0, _SPREAD_SECONDS))
        await _leave(stub, one, dice.randrange(1, _MOST_EVENTS))

    async with asyncio.TaskGroup() as group:
        for one in strangers:
            group.create_task(goer(one))
        return await asyncio.gather(*map(comer, asked))


async def _leave(stub: Stub, asked: Asked, events: int) -> None:
    """Cancel a generation behind so many events, if it has as many."""
    call = stub.Generate(generate_request(asked.model, asked.prompt, **asked.options))
    async for _ in call:
        events -= 1
        if events <= 0:
            break
    call.cancel()


def _token(scored: pb.TokenLogprob) -> Token:
    return scored.token_id, (scored.logprob, *(other.logprob for other in scored.alternatives))
