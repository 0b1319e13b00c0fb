"""A server in a process of its own, as users run it, and what that process costs."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server."""

    address: str
    process: psutil.Process

    @property
    def resident_bytes(self) -> int:
        return int(self.process.memory_info().rss)

    @property
    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextlib.contextmanager
def serving(models: Path, *flags: str, checkout: Path | None = None) -> Iterator[ServerProcess]:
    """Serve the bundles in `models` on a free port until the block ends.

    checkout: folder of the seqstream that serves, with its generated code; None: this one.
    """
    command = [
        sys.executable,
        "-m",
        "service",
        "--models",
        str(models.resolve()),
        "--port",
        "0",
        "--log-level",
        "warning",
        *flags,
    ]
    environment = None if checkout is None else {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=checkout, env=environment) as process:
        try:
            assert process.stdout is not None
            yield ServerProcess(_read_address(iter(process.stdout)), psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait(60)


def _read_address(lines: Iterator[str]) -> str:
    for line in lines:
        if found := re.search(r"(127\.0\.0\.1:\d+)", line):
            return found.group(1)
    raise RuntimeError("the server ended before it listened")
