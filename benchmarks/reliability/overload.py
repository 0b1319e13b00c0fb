"""More requests than can be served: they arrive whatever becomes of those before them, up to twenty times as many.

Requests arrive at random times (a Poisson process), each by itself; nobody waits for an answer before asking again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import grpc
import numpy as np
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status

from benchmarks.load import request, run_stream
from benchmarks.models import prepare
from benchmarks.reliability.claim import Claim
from benchmarks.server import ServerProcess, serving
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub

TITLE = "Overload"

MODEL, TOKENS, ROWS, QUEUE = "transformer-lm", 96, 16, 32
SHARES = (0.5, 1.0, 2.0, 5.0, 20.0)
SECONDS, QUICK_SECONDS = 60.0, 4.0
# Promised: how much of their pace streams keep, how fast a refusal comes, how much memory may grow.
MOST_SLOWER, MOST_REFUSAL_SECONDS, MOST_GROWTH = 1.5, 0.25, 1.10
_PATIENCE = 60.0


@dataclass(slots=True)
class Arrivals:
    """What became of the requests of one period. Times in seconds.

    paces: of each stream that was served, from its first token to its last, for one token.
    """

    share: float
    paces: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    without_time: int = 0
    others: list[str] = field(default_factory=list)
    resident: int = 0

    @property
    def pace(self) -> float:
        return float(np.median(self.paces))

    @property
    def pace_99(self) -> float:
        return float(np.percentile(self.paces, 99))


def measure(folder: Path, quick: bool) -> list[Claim]:
    """Load a server at every share of what it can serve, and return what held."""
    models = prepare(folder, (MODEL,))
    flags = ("--threads", "1", "--rows", str(ROWS), "--queue-limit", str(QUEUE))
    with serving(models, *flags) as server:
        capacity, before, periods, after = asyncio.run(_measure(server, QUICK_SECONDS if quick else SECONDS))
    return [*_claims(capacity, periods), _recovery(before, after)]


async def _measure(server: ServerProcess, seconds: float) -> tuple[float, float, list[Arrivals], float]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = GenerationServiceStub(channel)
        capacity = await _capacity(stub, 2 if seconds == QUICK_SECONDS else 6)
        before = await _alone(stub)
        periods = []
        for share in SHARES:
            periods.append(await _arrive(stub, share, capacity * share, seconds))
            periods[-1].resident = server.resident_bytes
        return capacity, before, periods, await _alone(stub)


async def _capacity(stub: GenerationServiceStub, rounds: int) -> float:
    """Return how many requests a second are served while all rows are always in use."""
    ended = 0

    async def client() -> None:
        nonlocal ended
        while True:
            await _read(stub)
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
    return min([(await _read(stub))[0] for _ in range(3)])


async def _arrive(stub: GenerationServiceStub, share: float, rate: float, seconds: float) -> Arrivals:
    arrivals, chance = Arrivals(share), random.Random(int(10 * share))
    tasks: set[asyncio.Task[None]] = set()
    due = time.perf_counter()
    end = due + seconds
    while (due := due + chance.expovariate(rate)) < end:
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(_ask(stub, arrivals))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return arrivals


async def _ask(stub: GenerationServiceStub, arrivals: Arrivals) -> None:
    began = time.perf_counter()
    try:
        first, pace = await _read(stub)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            arrivals.others.append(f"{error.code().name}: {error.details()}")
            return
        arrivals.refusals.append(time.perf_counter() - began)
        arrivals.without_time += not _says_when(error)
    else:
        arrivals.first_tokens.append(first)
        arrivals.paces.append(pace)


def _says_when(error: grpc.aio.AioRpcError) -> bool:
    metadata = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    packed = dict(metadata).get("grpc-status-details-bin", b"")
    status = Status.FromString(packed) if isinstance(packed, bytes) else Status()
    return any(detail.Is(details.RetryInfo.DESCRIPTOR) for detail in status.details)


async def _read(stub: GenerationServiceStub) -> tuple[float, float]:
    """Run one stream; return the time to its first token and the time for each of the others."""
    record = await run_stream(stub, request(MODEL, "", TOKENS), _PATIENCE)
    return record.first - record.sent, (record.last - record.first) / (TOKENS - 1)


def _claims(capacity: float, periods: Sequence[Arrivals]) -> list[Claim]:
    full = next(period for period in periods if period.share == 1.0)
    over = [period for period in periods if period.share > 1.0]
    worst = max(over, key=lambda period: period.pace)
    refused = [seconds for period in over for seconds in period.refusals]
    slow = float(np.percentile(refused, 99)) if refused else 0.0
    growth = max(period.resident for period in over) / full.resident
    others = [other for period in periods for other in period.others]
    told = ", ".join(f"{period.share:g}x {1e3 * period.pace:.1f}" for period in periods)
    counts = ", ".join(f"{period.share:g}x {len(period.paces)} of {_all(period)}" for period in periods)
    return [
        Claim(
            f"Accepted streams keep their pace: at most {MOST_SLOWER:g} times the time a token that they have at 1x",
            f"capacity {capacity:.0f} requests/s; median ms a token at {told}",
            worst.pace <= MOST_SLOWER * full.pace,
        ),
        Claim(
            "What is too much is refused at once, with RESOURCE_EXHAUSTED and a time to come back",
            f"served at {counts}; {len(refused)} refused in {1e3 * float(np.median(refused or [0])):.1f} ms "
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


def _all(period: Arrivals) -> int:
    return len(period.paces) + len(period.refusals) + len(period.others)


def _recovery(before: float, after: float) -> Claim:
    return Claim(
        "After the burst a lone request is as fast as before it",
        f"first token {1e3 * before:.1f} ms before, {1e3 * after:.1f} ms after",
        after <= MOST_SLOWER * before,
    )
