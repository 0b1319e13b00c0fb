"""One seed, one sequence of tokens: alone, in a crowd, among comers and goers, in any order, elsewhere, and resumed."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import grpc

from benchmarks.reliability.asked import some
from benchmarks.reliability.claim import Claim
from benchmarks.reliability.compared import Compared
from benchmarks.reliability.models import LABELS, QUICK_LABELS, manifests, tiny
from benchmarks.reliability.replica import Replica, standing
from benchmarks.reliability.told import among_strangers, crowd, few_at_a_time, tell
from bundle.manifest import Manifest
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub as Stub

TITLE = "Same seed, same tokens, whatever the load"
PROMPTS, QUICK_PROMPTS = 64, 12
TOKENS = 24
# Both compute with as many threads: another number may add in another order.
_FLAGS = ("--threads", "1", "--rows", "64", "--chunk-tokens", "16")
_TOGETHER = 16  # at a time, where they come in another order


def measure(folder: Path, quick: bool) -> list[Claim]:
    """Compare every model of every kind."""
    count, claims = QUICK_PROMPTS if quick else PROMPTS, list[Claim]()
    for kind, labels in (QUICK_LABELS if quick else LABELS).items():
        models = tiny(kind, labels, folder)
        claims += _claims(kind.name, count, asyncio.run(_compare(models, count)))
    return claims


def _claims(kind: str, count: int, found: Compared) -> list[Claim]:
    what = f"{kind}, {count} prompts to each of {found.models} models, greedy and sampled"
    ways = "alone, in a crowd, among comers and goers, in another order, on another replica, resumed at a random token"
    return [
        Claim(
            f"{what}: the same token ids {ways}.",
            f"{found.streams:,} streams, {found.tokens:,} tokens; others in {found.with_other_tokens}",
            found.same_tokens,
        ),
        Claim(
            f"{kind}: the same log-probabilities, to the last bit.",
            f"others in {found.with_other_bits}",
            found.same_bits,
        ),
    ]


async def _compare(models: Path, count: int) -> Compared:
    compared = Compared()
    with standing([Replica(models, *_FLAGS) for _ in range(2)]) as replicas:
        for replica in replicas:
            await replica.ready()
        first, second = (replica.address for replica in replicas)
        async with grpc.aio.insecure_channel(first) as here, grpc.aio.insecure_channel(second) as there:
            for manifest in manifests(models).values():
                await _compare_model(manifest, count, Stub(here), Stub(there), compared)
    return compared


async def _compare_model(manifest: Manifest, count: int, here: Stub, there: Stub, compared: Compared) -> None:
    dice = random.Random(manifest.name)
    asked, strangers = ([some(manifest, dice, TOKENS) for _ in range(count)] for _ in range(2))
    alone = [await tell(here, one) for one in asked]
    compared.models += 1
    compared.add("in a crowd", await crowd(here, asked), alone)
    compared.add("among comers and goers", await among_strangers(here, asked, strangers, dice), alone)
    order = dice.sample(range(count), count)
    ordered = await few_at_a_time(here, [asked[place] for place in order], _TOGETHER)
    compared.add("in another order", ordered, [alone[place] for place in order])
    compared.add("on another replica", await crowd(there, asked), alone)
    cuts = [dice.randrange(len(tokens)) for tokens in alone]
    begun = [tokens[:cut] for tokens, cut in zip(alone, cuts, strict=True)]
    rest = [tokens[cut:] for tokens, cut in zip(alone, cuts, strict=True)]
    compared.add("resumed", await crowd(there, asked, begun), rest)
