"""Several processes that send a level together, for where one core is the client's limit."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import time
from dataclasses import replace
from multiprocessing.connection import Connection as Pipe
from types import TracebackType
from typing import Self

from service.bench.driver import Part, drive
from service.bench.level import Level
from service.bench.record import Seen

# From the order to the begin of warming up: to connect.
_CONNECT_SECONDS = 0.5


class Processes:
    """Processes that wait for levels. With one share there is none but this one."""

    def __init__(self, part: Part, count: int) -> None:
        """`part` is of one share of one; `with` starts them."""
        self._part, self._count = part, count
        self._workers: list[tuple[multiprocessing.process.BaseProcess, Pipe]] = []

    def __enter__(self) -> Self:
        # gRPC does not outlive a fork.
        context = multiprocessing.get_context("spawn")
        for share in range(self._count if self._count > 1 else 0):
            here, there = context.Pipe()
            part = replace(self._part, share=share, shares=self._count)
            process = context.Process(target=_serve, args=(there, part), daemon=True)
            process.start()
            self._workers.append((process, here))
        for _, pipe in self._workers:
            pipe.recv()  # it has imported what it needs
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, _ in self._workers:
            process.terminate()
            process.join()

    async def run(self, level: Level) -> list[Seen]:
        """Send a level and return what each process saw. Raises what `drive` does."""
        begin = time.monotonic() + _CONNECT_SECONDS + level.warm_up
        if not self._workers:
            return [await drive(self._part, level, begin)]
        for _, pipe in self._workers:
            pipe.send((level, begin))
        return [await asyncio.to_thread(_received, pipe) for _, pipe in self._workers]


def _received(pipe: Pipe) -> Seen:
    found = pipe.recv()
    if isinstance(found, Exception):
        raise found
    assert isinstance(found, Seen), "a worker sends nothing else"
    return found


def _serve(pipe: Pipe, part: Part) -> None:
    """Run levels that come, as a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it is told, too, and ends it
    pipe.send("ready")
    with asyncio.Runner() as runner:  # gRPC does not bear a second event loop in a process
        while True:
            level, begin = pipe.recv()
            try:
                pipe.send(runner.run(drive(part, level, begin)))
            except Exception as error:  # noqa: BLE001 it is raised where it is waited for
                pipe.send(error)
