"""Two servers with the same bundles, killed and restarted under load, behind the client's own balancing and Envoy."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import TypeVar

from benchmarks.balancers import BALANCERS, BalancerError
from benchmarks.models import prepare
from benchmarks.reliability.asked import Noting, some
from benchmarks.reliability.claim import Claim
from benchmarks.reliability.load import Expected, Tally, load, undisturbed
from benchmarks.reliability.models import Kind, manifests, tiny
from benchmarks.reliability.replica import Replica, standing
from service.retry import Retry

TITLE = "Streams survive the death of a replica"
MODELS = ("gru", "transformer-lm", "transformer")
_FLAGS = ("--threads", "1", "--rows", "64")
_ROLLING = ("--lame-duck-seconds", "3", "--drain-seconds", "120")
# What a rollout waits until the next replica's turn: clients connect anew within two seconds.
_SETTLE_SECONDS = 3.0
_LOOK_SECONDS = 0.05
_SHORTEST = 10  # tokens of a stream
_Found = TypeVar("_Found")
_NAMES = {"round_robin": "client-side round_robin", "envoy": "Envoy"}


@dataclass(frozen=True, slots=True)
class Extent:
    """streams: at a time.    tokens: of the longest.    seconds: of kills.    restarts: in all."""

    streams: int = 200
    tokens: int = 150
    seconds: float = 30.0
    restarts: int = 4


QUICK = Extent(12, 60, 2.0, 1)


def measure(folder: Path, quick: bool) -> list[Claim]:
    """Kill, and restart, through every balancer."""
    models = tiny(Kind("fp32"), MODELS, folder) if quick else prepare(folder, MODELS)
    return asyncio.run(_measure(models, QUICK if quick else Extent()))


async def _measure(models: Path, extent: Extent) -> list[Claim]:
    dice, known = random.Random(5), manifests(models)
    kinds = [known[MODELS[number % len(MODELS)]] for number in range(extent.streams)]
    asked = [some(kind, dice, dice.randint(_SHORTEST, extent.tokens)) for kind in kinds]
    with standing([Replica(models, *_FLAGS)]) as (alone,):
        await alone.ready()
        expected = await undisturbed(alone.address, asked)
    claims = []
    for balancer, name in _NAMES.items():
        try:
            claims.append(await _killed(models, balancer, expected, extent))
            claims.append(await _restarted(models, balancer, expected, extent))
        except BalancerError as error:
            claims.append(Claim(f"Behind {name}, too.", f"not measured: {error}", False))
    return claims


async def _killed(models: Path, balancer: str, expected: Expected, extent: Extent) -> Claim:
    retry = Noting()
    replicas = [Replica(models, *_FLAGS) for _ in range(2)]
    kills, tally = await _under_load(replicas, balancer, expected, retry, lambda: _kill(replicas, extent.seconds))
    broken = len(retry.failures)
    return Claim(
        f"{_NAMES[balancer]}, {extent.streams} streams at a time, a server killed (SIGKILL) every second for "
        f"{extent.seconds:g} s: every stream ends with the tokens, text and log-probabilities of an undisturbed run, "
        "and its reader sees a pause and nothing else.",
        f"{kills} kills; {tally.streams:,} streams, {tally.tokens:,} tokens, continued {broken:,} times: {tally.told}; "
        f"longest pause of a stream {median(tally.pauses):.2f} s (median), {max(tally.pauses):.1f} s (most)",
        tally.sound and kills >= extent.seconds / 2 and broken > 0,
    )


async def _restarted(models: Path, balancer: str, expected: Expected, extent: Extent) -> Claim:
    replicas = [Replica(models, *_FLAGS, *_ROLLING) for _ in range(2)]
    # The first failure is the last: nothing is resumed, nothing tried again.
    once = Retry(attempts=1)
    codes, tally = await _under_load(replicas, balancer, expected, once, lambda: _restart(replicas, extent.restarts))
    return Claim(
        f"{_NAMES[balancer]}, {extent.streams} streams at a time, rolling restarts (SIGTERM): no stream fails, even "
        "of clients that resume nothing and try nothing again.",
        f"{len(codes)} restarts, exit codes {sorted(set(codes))}; {tally.streams:,} streams: {tally.told}",
        tally.sound and set(codes) == {0},
    )


async def _under_load(
    replicas: Sequence[Replica],
    balancer: str,
    expected: Expected,
    retry: Retry,
    disturb: Callable[[], Awaitable[_Found]],
) -> tuple[_Found, Tally]:
    """Start the replicas and the balancer, run as many streams as are expected, disturb, and let the streams end."""
    with standing(replicas):
        for replica in replicas:
            await replica.ready()
        with BALANCERS[balancer]([replica.address for replica in replicas]) as front:
            ended = asyncio.Event()
            loading = asyncio.create_task(load(front.address, expected, len(expected), ended, retry))
            try:
                found = await disturb()
            finally:
                ended.set()
                tally = await loading
    return found, tally


async def _kill(replicas: Sequence[Replica], seconds: float) -> int:
    """Every second kill the server that has served longest, and start it again. Returns how many were killed."""
    kills, began = 0, time.monotonic()
    due = began + 1.0
    while (now := time.monotonic()) < began + seconds:
        up = [replica for replica in replicas if await replica.listens()]
        if up and now >= due:
            victim = min(up, key=lambda replica: replica.served_since or now)
            victim.kill()
            victim.start()
            kills, due = kills + 1, due + 1.0
        await asyncio.sleep(_LOOK_SECONDS)
    for replica in replicas:
        await replica.ready()
    return kills


async def _restart(replicas: Sequence[Replica], count: int) -> list[int]:
    """Let one after the other end and start again. Returns their exit codes."""
    codes = []
    for replica in islice(cycle(replicas), count):
        await asyncio.sleep(_SETTLE_SECONDS)
        codes.append(await replica.stop())
        replica.start()
        await replica.ready()
    await asyncio.sleep(_SETTLE_SECONDS)
    return codes
