"""Requests that arrive at random times, whatever becomes of those before them (a Poisson process), and how they end.

They come over several connections, as from several clients: what one may ask at once has a limit of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import grpc
import numpy as np
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status

from benchmarks.load import request, run_stream
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub

MODEL, TOKENS = "transformer-lm", 96
CONNECTIONS = 16
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request was refused, and after how many seconds to come back, or None."""

    reason: str
    retry: float | None


@dataclass(slots=True)
class Arrivals:
    """What became of the requests of one period. Times in seconds.

    paces: of each stream that was served, from its first token to its last, for one token.
    late: that a request was asked behind its time, at most.
    """

    share: float
    paces: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    without_time: int = 0
    others: list[str] = field(default_factory=list)
    resident: int = 0
    late: float = 0.0

    @property
    def pace(self) -> float:
        return float(np.median(self.paces))

    @property
    def count(self) -> int:
        return len(self.paces) + len(self.refusals) + len(self.others)


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[list[GenerationServiceStub]]:
    """Yield stubs, each with a connection of its own."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with AsyncExitStack() as stack:
        yield [
            GenerationServiceStub(await stack.enter_async_context(grpc.aio.insecure_channel(address, options=options)))
            for _ in range(CONNECTIONS)
        ]


async def arrive(stubs: Sequence[GenerationServiceStub], share: float, rate: float, seconds: float) -> Arrivals:
    """Let `rate` requests a second arrive for so long, and wait for the end of all. share: is told."""
    arrivals, chance = Arrivals(share), random.Random(int(10 * share))
    tasks: set[asyncio.Task[None]] = set()
    due = time.perf_counter()
    end = due + seconds
    for stub in itertools.cycle(stubs):
        if (due := due + chance.expovariate(rate)) > end:
            break
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        arrivals.late = max(arrivals.late, time.perf_counter() - due)
        task = asyncio.create_task(_ask(stub, arrivals))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return arrivals


async def read(stub: GenerationServiceStub, tenant: str = "", seconds: float = _PATIENCE) -> tuple[float, float]:
    """Run one stream; return the time to its first token and the time for each of the others.

    Raises:
        grpc.aio.AioRpcError: it was refused, or failed.
    """
    metadata = (("x-tenant", tenant),) if tenant else None
    record = await run_stream(stub, request(MODEL, "", TOKENS), seconds, metadata)
    return record.first - record.sent, (record.last - record.first) / (TOKENS - 1)


def refused(error: grpc.aio.AioRpcError) -> Refused:
    """Return what a refusal tells."""
    metadata = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    packed = dict(metadata).get("grpc-status-details-bin", b"")
    info, retry, when = details.ErrorInfo(), details.RetryInfo(), None
    for detail in Status.FromString(packed).details if isinstance(packed, bytes) else ():
        detail.Unpack(info)
        if detail.Unpack(retry):
            when = retry.retry_delay.ToNanoseconds() / 1e9
    return Refused(info.reason, when)


async def _ask(stub: GenerationServiceStub, arrivals: Arrivals) -> None:
    began = time.perf_counter()
    try:
        first, pace = await read(stub)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            arrivals.others.append(f"{error.code().name}: {error.details()}")
            return
        arrivals.refusals.append(time.perf_counter() - began)
        arrivals.without_time += refused(error).retry is None
    else:
        arrivals.first_tokens.append(first)
        arrivals.paces.append(pace)
