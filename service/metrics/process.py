"""What runs, and how late its event loop comes to what is due."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Iterator

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from bundle.device import runtime_version
from service.metrics import catalogue
from service.metrics.families import family
from service.metrics.histogram import Histogram
from service.release import VERSION

_LOOK_SECONDS = 0.1


class LoopLag:
    """Looks at the event loop that it was started on, until it is stopped."""

    def __init__(self) -> None:
        self.seconds = Histogram(catalogue.LOOP_LAG.bounds)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look from now on."""
        loop = asyncio.get_running_loop()
        self._wait(loop, loop.time())

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        due = now + _LOOK_SECONDS
        self._timer = loop.call_at(due, self._look, loop, due)

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self.seconds.add(max(0.0, now - due))
        self._wait(loop, now)


class ProcessMetrics(Collector):
    """Tells versions of what runs, and of its event loop."""

    def __init__(self, lag: LoopLag) -> None:
        self._lag = lag

    def collect(self) -> Iterator[Family]:
        """Yield both."""
        yield family(catalogue.BUILD_INFO, {(VERSION, runtime_version(), platform.python_version()): 1})
        yield family(catalogue.LOOP_LAG, {(): self._lag.seconds})
