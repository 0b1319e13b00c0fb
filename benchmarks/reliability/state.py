"""What a row, a cache or a copy holds of earlier requests: a server whose free memory is NaN, beside one without."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import grpc

from benchmarks.reliability.asked import some
from benchmarks.reliability.claim import Claim
from benchmarks.reliability.compared import Compared
from benchmarks.reliability.models import LABELS, QUICK_LABELS, Kind, manifests, tiny
from benchmarks.reliability.poison import UNCLEARED
from benchmarks.reliability.replica import Replica, standing
from benchmarks.reliability.told import among_strangers, crowd
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub as Stub

TITLE = "State is clean"
PROMPTS, QUICK_PROMPTS = 32, 12
TOKENS = 24
# Few rows, so that each has had many requests.
_FLAGS = ("--threads", "1", "--rows", "6", "--chunk-tokens", "16")
_POISONED = ("-m", "benchmarks.reliability.poison")
# With nothing but a hidden state: no operator computes an address from what is read.
_CONTROL = "gru"


def measure(folder: Path, quick: bool) -> list[Claim]:
    """Compare every model of every kind."""
    count, claims = QUICK_PROMPTS if quick else PROMPTS, list[Claim]()
    for kind, labels in (QUICK_LABELS if quick else LABELS).items():
        models = tiny(kind, labels, folder)
        claims.append(_claim(kind.name, asyncio.run(_compare(models, count, _POISONED))))
    control = tiny(Kind("fp32"), (_CONTROL,), folder / "control")
    return [*claims, _control(asyncio.run(_compare(control, count, (*_POISONED, UNCLEARED))))]


def _control(found: Compared) -> Claim:
    return Claim(
        "The measure sees what it looks for: the same with a server that does not clear the rows that it gives out.",
        f"{found.streams:,} streams; other tokens in {found.with_other_tokens}, other log-probabilities in "
        f"{found.with_other_bits}",
        bool(found.streams) and not found.same_bits,
    )


def _claim(kind: str, found: Compared) -> Claim:
    return Claim(
        f"{kind}, {found.models} models: rows that others had, cache entries behind a row's own, and the side of "
        "a state that is written next are NaN before every step, and no stream shows it.",
        f"{found.streams:,} streams in 6 rows, {found.tokens:,} tokens; other tokens in {found.with_other_tokens}, "
        f"other log-probabilities in {found.with_other_bits}",
        found.same_bits,
    )


async def _compare(models: Path, count: int, program: tuple[str, ...]) -> Compared:
    compared = Compared()
    with standing([Replica(models, *_FLAGS), Replica(models, *_FLAGS, program=program)]) as (clean, poisoned):
        for replica in (clean, poisoned):
            await replica.ready()
        async with (
            grpc.aio.insecure_channel(clean.address) as here,
            grpc.aio.insecure_channel(poisoned.address) as there,
        ):
            for manifest in manifests(models).values():
                dice = random.Random(manifest.name)
                asked, strangers = ([some(manifest, dice, TOKENS) for _ in range(count)] for _ in range(2))
                expected = await crowd(Stub(here), asked)
                found = await among_strangers(Stub(there), asked, strangers, dice)
                compared.models += 1
                compared.add("streams", found, expected)
    return compared
