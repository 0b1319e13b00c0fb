"""A server in a process of its own that can be asked what is left in it: tasks, files, rows, memory, words of its log.

`python -m benchmarks.reliability.watched` is the server itself, which answers SIGUSR1 with the number of its tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil

from benchmarks.server import ServerProcess
from protos.seqstream.v1 import model_pb2
from protos.seqstream.v1.model_pb2_grpc import ModelServiceStub
from service import __main__ as program
from service.settings import Settings
from service.traces import Traces
from service.versions import Versions
from service.wire.entrance import Entrance

_LISTENS = "listening on "


@dataclass(frozen=True, slots=True)
class Left:
    """What a server holds. running, waiting: sequences and requests, over all models."""

    running: int
    waiting: int
    tasks: int
    files: int
    resident_bytes: int

    def over(self, before: Left) -> str:
        """Return in words what is held more than before."""
        grown = (self.resident_bytes - before.resident_bytes) / 2**20
        return (
            f"{self.running} rows, {self.waiting} requests that wait, {self.tasks - before.tasks:+d} tasks, "
            f"{self.files - before.files:+d} files, {grown:+.1f} MiB"
        )


class Watched:
    """A running server. log: where it writes to."""

    def __init__(self, popen: subprocess.Popen[str], log: Path) -> None:
        self._popen = popen
        self._log = log
        self.address = self._read(_LISTENS)
        self.process = ServerProcess(self.address, psutil.Process(popen.pid))

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    async def left(self) -> Left:
        """Return what the server holds now."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            models = (await ModelServiceStub(channel).ListModels(model_pb2.ListModelsRequest())).models
        await asyncio.sleep(0.1)  # the channel of this very question
        self._popen.send_signal(signal.SIGUSR1)
        tasks = int(self._read("tasks "))
        running, waiting = (sum(getattr(model.load, name) for model in models) for name in ("running", "waiting"))
        return Left(running, waiting, tasks, self.process.process.num_fds(), self.process.resident_bytes)

    async def settled(self, before: Left, seconds: float) -> Left:
        """Return what is left as soon as it is no more than before, but for memory, or after so many seconds."""
        end = time.monotonic() + seconds
        while True:
            left = await self.left()
            rest = (left.running, left.waiting, left.tasks, left.files)
            if time.monotonic() > end or all(
                a <= b for a, b in zip(rest, (0, 0, before.tasks, before.files), strict=True)
            ):
                return left
            await asyncio.sleep(0.25)

    def _read(self, beginning: str) -> str:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            if line.startswith(beginning):
                return line.removeprefix(beginning).strip()
        raise RuntimeError(f"the server ended: {self.log[-2000:]}")


@contextlib.contextmanager
def watching(models: Path, folder: Path, *flags: str) -> Iterator[Watched]:
    """Serve the bundles in `models` on a free port until the block ends, with its log in `folder`."""
    log = folder / "server.log"
    command = [sys.executable, "-m", "benchmarks.reliability.watched", "--models", str(models), "--port", "0"]
    command += ["--log-level", "warning", *flags]
    with log.open("w") as errors, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as popen:
        try:
            yield Watched(popen, log)
        finally:
            popen.terminate()
            popen.wait(60)


_serve = program.serve


async def _serve_watched(
    versions: Versions, settings: Settings, entrance: Entrance, traces: Traces | None = None
) -> int:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, lambda: print(f"tasks {len(asyncio.all_tasks(loop))}", flush=True))
    return await _serve(versions, settings, entrance, traces)


if __name__ == "__main__":
    program.serve = _serve_watched
    sys.exit(program.main())
