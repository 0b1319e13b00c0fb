"""A server at an address of its own that is killed, told to stop and started again, and always comes back there."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

# Below the ports that systems give to those who call: who calls one of those again and again where nobody listens is
# given it one day, and connected with itself.
_PORTS = range(20_000, 32_000)
_PATIENCE = 180.0  # more than servers that are told to stop are given
_LOOK_SECONDS = 0.02


class Replica:
    """One server process after another. served_since: when the present one was first seen to listen, or None."""

    def __init__(self, models: Path, *flags: str, program: Sequence[str] = ("-m", "service")) -> None:
        """Choose a port. flags: of the server.    program: Python's arguments before them."""
        self.port = _free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.served_since: float | None = None
        place = ("--models", str(models), "--port", str(self.port), "--log-level", "error")
        self._command = [sys.executable, *program, *place, *flags]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the next process."""
        self.served_since = None
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    async def listens(self) -> bool:
        """Return whether it takes connections: it does once all models are loaded.

        Raises:
            RuntimeError: it ended by itself.
        """
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"the server on {self.address} ended by itself, with code {self._process.returncode}")
        if self.served_since is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                self.served_since = time.monotonic()
        return self.served_since is not None

    async def ready(self) -> None:
        """Return when it listens. Raises TimeoutError, RuntimeError."""
        async with asyncio.timeout(_PATIENCE):
            while not await self.listens():  # noqa: ASYNC110 (another process tells nobody)
                await asyncio.sleep(_LOOK_SECONDS)

    def kill(self) -> None:
        """End the process as a crash would, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.served_since = None

    async def stop(self) -> int:
        """Tell the process to stop and return its exit code when it has. Raises TimeoutError."""
        process = self._process
        assert process is not None, "it was started"
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_PATIENCE):
            while (code := process.poll()) is None:  # noqa: ASYNC110 (nor does it when it ends)
                await asyncio.sleep(_LOOK_SECONDS)
        self.served_since = None
        return code


def _free_port() -> int:
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"every port from {_PORTS[0]} to {_PORTS[-1]} is taken")


@contextlib.contextmanager
def standing(replicas: Sequence[Replica]) -> Iterator[Sequence[Replica]]:
    """Start all of them, and end whatever runs when the block ends."""
    try:
        for replica in replicas:
            replica.start()
        yield replicas
    finally:
        for replica in replicas:
            replica.kill()
