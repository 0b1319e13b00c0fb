"""A good client beside bad ones: it asks for single tokens, each by a call of its own, and counts the time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import grpc
import numpy as np

from benchmarks.load import request
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub

_PAUSE_SECONDS = 0.02
_PATIENCE = 30.0


@dataclass
class Waits:
    """How long each answer took, in seconds, and the statuses of those that were none."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def median(self) -> float:
        return float(np.median(self.seconds)) if self.seconds else float("inf")

    @property
    def longest(self) -> float:
        return max(self.seconds, default=float("inf"))

    def __str__(self) -> str:
        errors = f", {len(self.errors)} failed: {self.errors[0]}" if self.errors else ""
        return f"{1e3 * self.median:.1f} ms, at most {1e3 * self.longest:.0f} ms{errors}"


async def ask(address: str, model: str, seconds: float) -> Waits:
    """Ask for so long, over a new connection."""
    waits, end = Waits(), time.monotonic() + seconds
    async with grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
        stub = GenerationServiceStub(channel)
        while time.monotonic() < end:
            began = time.perf_counter()
            try:
                async for _ in stub.Generate(request(model, "a", 1), timeout=_PATIENCE):
                    pass
                waits.seconds.append(time.perf_counter() - began)
            except grpc.aio.AioRpcError as error:
                waits.errors.append(f"{error.code().name}: {error.details()}")
            await asyncio.sleep(_PAUSE_SECONDS)
    return waits
