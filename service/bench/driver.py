"""One process's part of a level: sends requests when it is time and notes what comes."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from service.bench.level import Level
from service.bench.record import Record, Seen
from service.bench.workload import Workload
from service.client import Client
from service.failures import ClientError

# A closed loop whose request is refused does not ask again at once.
_REFUSED_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Part:
    """What a process sends, and how: the `share`-th of so many `shares`. client: makes a client with its connection."""

    client: Callable[[], Client]
    connections: int
    model: str
    workload: Workload
    share: int = 0
    shares: int = 1


async def drive(part: Part, level: Level, begin: float) -> Seen:
    """Send one process's part of `level`; counting begins at `begin` of the monotonic clock.

    Raises:
        ValueError: the workload asks for what cannot be asked.
    """
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(part.client()) for _ in range(part.connections)]
        # Connections are made by calls, and not while they are timed.
        await asyncio.gather(*(client.model(part.model) for client in clients))
        sender = _Sender(part, level, clients, begin)
        cpu = asyncio.create_task(sender.cpu())
        try:
            await (sender.at_rate() if level.kind == "rate" else sender.by_streams())
        finally:
            await sender.cancel()
        return Seen(sender.records, sender.end, await cpu)


class _Sender:
    def __init__(self, part: Part, level: Level, clients: list[Client], begin: float) -> None:
        self._part, self._level, self._clients, self._begin = part, level, clients, begin
        self._tasks: list[asyncio.Task[None]] = []
        self._all_counted = asyncio.Event()
        self._left, self._running = level.counted(part.share, part.shares), 0
        self.records: list[Record] = []
        self.end = level.end()

    def now(self) -> float:
        return time.monotonic() - self._begin

    async def at_rate(self) -> None:
        """Start requests when they are to arrive, until all that count have ended."""
        counted: list[asyncio.Task[None]] = []
        for index, at in enumerate(self._level.arrivals()):
            if index % self._part.shares != self._part.share:
                continue
            if at >= self.end and await self._ended(counted, at):
                return
            await asyncio.sleep(max(at - self.now(), 0.0))
            task = asyncio.create_task(self._send(index, at, counts_in=0.0 <= at < self.end))
            self._tasks.append(task)
            if 0.0 <= at < self.end:
                counted.append(task)

    async def _ended(self, counted: list[asyncio.Task[None]], before: float) -> bool:
        """Whether, `before` then, counting has ended and all that count have, too."""
        await asyncio.sleep(max(self.end - self.now(), 0.0))
        if pending := [task for task in counted if not task.done()]:
            _, pending = map(list, await asyncio.wait(pending, timeout=max(before - self.now(), 0.0)))
        return not pending

    async def by_streams(self) -> None:
        """Run streams, each followed by the next, until all that count have ended."""
        streams = self._level.streams(self._part.share, self._part.shares)
        self._tasks = [asyncio.create_task(self._stream(number)) for number in range(streams)]
        if streams:
            counted = asyncio.create_task(self._all_counted.wait())
            # A stream ends by itself only if it cannot go on: `cancel` raises why.
            await asyncio.wait({counted, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
            counted.cancel()
        self.end = min(self.end, self.now())

    async def _stream(self, number: int) -> None:
        first = number * self._part.shares + self._part.share
        for index in itertools.count(first, int(self._level.load)):
            begun = self.now()
            if counts_in := 0.0 <= begun < self.end and self._left > 0:
                self._left -= 1
                self._running += 1
            await self._send(index, begun, counts_in=counts_in)
            self._running -= counts_in
            if (self.now() >= self.end or self._left == 0) and self._running == 0:
                self._all_counted.set()

    async def cpu(self) -> float:
        """Return how much of a core this process uses from the begin of counting to its end."""
        await asyncio.sleep(max(-self.now(), 0.0))
        wall, used = time.monotonic(), time.process_time()
        await asyncio.sleep(max(self.end - self.now(), 0.0)) if self.end < float(
            "inf"
        ) else await self._all_counted.wait()
        return (time.process_time() - used) / max(time.monotonic() - wall, 1e-9)

    async def cancel(self) -> None:
        """End what still runs."""
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    async def _send(self, index: int, intended: float, *, counts_in: bool) -> None:
        request = self._part.workload.request(index)
        record = Record(intended, self.now(), counts_in)
        self.records.append(record)
        client = self._clients[index // self._part.shares % len(self._clients)]
        try:
            generation = client.generate(
                self._part.model, request.prompt, timeout=self._level.timeout, **request.options
            )
            async with generation:
                async for delta in generation:
                    if delta.token_ids:
                        record.arrivals.append(self.now())
                        record.counts.append(len(delta.token_ids))
            (finished,) = generation.finished
            record.queue_seconds, record.prompt_tokens = finished.queue_seconds, finished.prompt_tokens
            record.error = "DEADLINE_EXCEEDED" if finished.reason == "DEADLINE" else ""
            record.ended = self.now()
        except ClientError as error:
            record.error, record.ended = error.status, self.now()
            if self._level.kind == "streams":
                await asyncio.sleep(error.retry_after or _REFUSED_SECONDS)
