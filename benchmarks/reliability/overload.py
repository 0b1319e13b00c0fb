"""More requests than can be served: they arrive whatever becomes of those before them, up to twenty times as many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.models import prepare
from benchmarks.reliability.arrivals import CONNECTIONS, MODEL, Arrivals, arrive, connected, read
from benchmarks.reliability.claim import Claim
from benchmarks.reliability.sharing import measure_sharing
from benchmarks.server import ServerProcess, serving
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub

TITLE = "Overload"

ROWS, QUEUE = 16, 32
SHARES = (0.5, 1.0, 2.0, 5.0, 20.0)
SECONDS, QUICK_SECONDS = 60.0, 4.0
# Promised: how much of their pace streams keep, how fast a refusal comes, how much memory may grow.
MOST_SLOWER, MOST_REFUSAL_SECONDS, MOST_GROWTH = 1.5, 0.25, 1.10


def measure(folder: Path, quick: bool) -> list[Claim]:
    """Load a server at every share of what it can serve, then another one with several tenants."""
    models = prepare(folder, (MODEL,))
    flags = ("--threads", "1", "--rows", str(ROWS), "--queue-limit", str(QUEUE))
    with serving(models, *flags) as server:
        capacity, before, periods, after = asyncio.run(_measure(server, QUICK_SECONDS if quick else SECONDS))
    claims = [*_claims(capacity, periods), _recovery(before, after)]
    return [*claims, *measure_sharing(models, quick)]


async def _measure(server: ServerProcess, seconds: float) -> tuple[float, float, list[Arrivals], float]:
    async with connected(server.address) as stubs:
        capacity = await _capacity(stubs[0], 2 if seconds == QUICK_SECONDS else 10)
        before = await _alone(stubs[0])
        periods = []
        for share in SHARES:
            periods.append(await arrive(stubs, share, capacity * share, seconds))
            periods[-1].resident = server.resident_bytes
        return capacity, before, periods, await _alone(stubs[0])


async def _capacity(stub: GenerationServiceStub, rounds: int) -> float:
    """Return how many requests a second are served while all rows are always in use."""
    ended = 0

    async def client() -> None:
        nonlocal ended
        while True:
            await read(stub)
            ended += 1

    clients = [asyncio.create_task(client()) for _ in range(ROWS + 4)]
    await asyncio.sleep(1.0)
    first, began = ended, time.perf_counter()
    await asyncio.sleep(rounds)
    found = (ended - first) / (time.perf_counter() - began)
    for task in clients:
        task.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    return found


async def _alone(stub: GenerationServiceStub) -> float:
    """Return the time to the first token of the first request that comes when nothing else runs, at best of three."""
    return min([(await read(stub))[0] for _ in range(3)])


def _claims(capacity: float, periods: Sequence[Arrivals]) -> list[Claim]:
    full = next(period for period in periods if period.share == 1.0)
    over = [period for period in periods if period.share > 1.0]
    worst = max(over, key=lambda period: period.pace)
    refused = [seconds for period in over for seconds in period.refusals]
    slow = float(np.percentile(refused, 99)) if refused else 0.0
    growth = max(period.resident for period in over) / full.resident
    others = [other for period in periods for other in period.others]
    told = ", ".join(f"{period.share:g}x {1e3 * period.pace:.1f}" for period in periods)
    counts = ", ".join(f"{period.share:g}x {len(period.paces):,} of {period.count:,}" for period in periods)
    late = max(period.late for period in periods)
    return [
        Claim(
            f"Accepted streams keep their pace: at most {MOST_SLOWER:g} times the time a token that they have at 1x",
            f"capacity {capacity:.0f} requests/s; median ms a token at {told}",
            worst.pace <= MOST_SLOWER * full.pace,
        ),
        Claim(
            "What is too much is refused at once, with RESOURCE_EXHAUSTED and a time to come back",
            f"served at {counts}, over {CONNECTIONS} connections, asked at most {1e3 * late:.0f} ms behind their time; "
            f"{len(refused):,} refused in {1e3 * float(np.median(refused or [0])):.1f} ms "
            f"(99 %: {1e3 * slow:.1f} ms), {sum(period.without_time for period in periods)} without a time, "
            f"{len(others)} with another status {others[:1] or ''}".rstrip(),
            slow <= MOST_REFUSAL_SECONDS and not others and not any(period.without_time for period in periods),
        ),
        Claim(
            "Memory does not grow with what is refused",
            f"{growth:.3f} times the resident memory of 1x, at most",
            growth <= MOST_GROWTH,
        ),
    ]


def _recovery(before: float, after: float) -> Claim:
    return Claim(
        "After the burst a lone request is as fast as before it",
        f"first token {1e3 * before:.1f} ms before, {1e3 * after:.1f} ms after",
        after <= MOST_SLOWER * before,
    )
