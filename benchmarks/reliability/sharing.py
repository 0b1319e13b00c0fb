"""Many at once who share one server: those who come back when they are told, tenants, deadlines that cannot be kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import grpc

from benchmarks.reliability.arrivals import TOKENS, Refused, connected, read, refused
from benchmarks.reliability.claim import Claim
from benchmarks.server import serving
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub

ROWS, QUEUE, LONG_QUEUE = 16, 32, 600
COMERS, QUICK_COMERS = 400, 100
QUEUED, QUICK_QUEUED = 500, 300
_FLAGS = ("--threads", "1", "--rows", str(ROWS))
_NEWCOMERS, _PAUSE = 5, 0.2
_HURRIED, _SHORT = 50, 0.1  # requests, and seconds until their deadline


def measure_sharing(models: Path, quick: bool) -> list[Claim]:
    """Measure on servers of the bundles in `models`."""
    with serving(models, *_FLAGS, "--queue-limit", str(QUEUE)) as server:
        claims = [asyncio.run(_come_back(server.address, QUICK_COMERS if quick else COMERS))]
    with serving(models, *_FLAGS, "--queue-limit", str(LONG_QUEUE)) as server:
        return [*claims, *asyncio.run(_beside_a_queue(server.address, QUICK_QUEUED if quick else QUEUED))]


async def _come_back(address: str, clients: int) -> Claim:
    """Let so many ask at once, and those that are refused ask again when they are told to."""
    tries, longest = list[int](), 0.0

    async def client(stub: GenerationServiceStub) -> None:
        nonlocal longest
        count = 1
        while (found := await _ask(stub)) is not None:
            assert found.retry is not None, "every refusal tells when to come back"
            longest = max(longest, found.retry)
            await asyncio.sleep(found.retry)
            count += 1
        tries.append(count)

    async with connected(address) as stubs:
        await asyncio.gather(*(read(stub) for stub in stubs * 3))  # so that its pace is known
        began = time.monotonic()
        await asyncio.gather(*(client(stubs[place % len(stubs)]) for place in range(clients)))
        seconds = time.monotonic() - began
    told = ", ".join(f"{tries.count(count)} at try {count}" for count in sorted(set(tries)))
    return Claim(
        "Who comes back when the refusal says is served",
        f"{clients} at once to {ROWS} rows and {QUEUE} places in the queue: {told}; told to wait {longest:.1f} s at "
        f"most, all served after {seconds:.1f} s",
        max(tries) <= 2,
    )


async def _ask(stub: GenerationServiceStub) -> Refused | None:
    try:
        await read(stub)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
        return refused(error)
    return None


async def _beside_a_queue(address: str, queued: int) -> list[Claim]:
    """Let one tenant ask for more than runs, and others beside it."""
    async with connected(address) as stubs:
        await asyncio.gather(*(read(stub) for stub in stubs * 3))
        crowd = [asyncio.create_task(read(stubs[place % len(stubs)], "crowd")) for place in range(queued)]
        await asyncio.sleep(1.0)
        waits = []
        for place in range(_NEWCOMERS):
            waits.append((await read(stubs[0], f"newcomer-{place}"))[0])
            await asyncio.sleep(_PAUSE)
        hurried = await _hurry(stubs)
        still = sum(not task.done() for task in crowd)
        served = await asyncio.gather(*crowd)
    whole = max(pace * (TOKENS - 1) for _, pace in served)
    return [_fair(queued, still, waits, whole), hurried]


def _fair(queued: int, still: int, waits: Sequence[float], whole: float) -> Claim:
    return Claim(
        "A tenant with a long queue does not delay another's first token by more than one round of what runs",
        f"{queued} streams of one tenant, {still} of them still there behind the last of {_NEWCOMERS} others, who had "
        f"their first tokens after {1e3 * min(waits):.0f} to {1e3 * max(waits):.0f} ms; a stream of {TOKENS} tokens "
        f"takes {1e3 * whole:.0f} ms at most",
        still > 0 and max(waits) <= whole,
    )


async def _hurry(stubs: Sequence[GenerationServiceStub]) -> Claim:
    """Ask for what cannot come in time, as a tenant that has its own share of the queue by then."""
    found, seconds = list[str](), list[float]()
    for place in range(_HURRIED):
        began = time.perf_counter()
        try:
            await read(stubs[place % len(stubs)], "crowd", _SHORT)
            found.append("served")
        except grpc.aio.AioRpcError as error:
            found.append(refused(error).reason or error.code().name)
        seconds.append(time.perf_counter() - began)
    kinds = ", ".join(f"{found.count(kind)} {kind}" for kind in sorted(set(found)))
    return Claim(
        "What cannot meet its deadline is refused before anything is computed for it",
        f"{_HURRIED} requests behind that queue with {1e3 * _SHORT:.0f} ms until their deadline: {kinds}, told in "
        f"{1e3 * max(seconds):.1f} ms at most",
        set(found) == {"DEADLINE_TOO_NEAR"} and max(seconds) <= _SHORT,
    )
