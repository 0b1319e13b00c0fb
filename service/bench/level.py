"""One level of load, and when its requests are to be sent. Times are in seconds from the begin of what is counted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

_DRAWN_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Level:
    """Requests at a rate (open loop), or so many at all times (closed loop).

    kind: "rate": `load` requests a second arrive as a Poisson process, however long their answers take. "streams":
        `load` streams run at all times, each followed by the next at once.
    warm_up: seconds of the same load before anything is counted.
    seconds: how long is counted; None: until `requests` have been.
    """

    kind: str
    load: float
    warm_up: float
    seconds: float | None
    requests: int | None
    timeout: float
    seed: int

    def arrivals(self) -> Iterator[float]:
        """Yield without end when requests are to be sent, from -warm_up on."""
        random = np.random.default_rng((self.seed, 1))
        now = -self.warm_up
        while True:
            for gap in random.exponential(1.0 / self.load, _DRAWN_AT_ONCE):
                now += float(gap)
                yield now

    def end(self) -> float:
        """Return when counting ends: for a number of requests at a rate, with the first that is one too many."""
        if self.seconds is not None:
            return self.seconds
        if self.kind == "streams":
            return math.inf
        assert self.requests is not None, "either has been given"
        return next(islice((at for at in self.arrivals() if at >= 0.0), self.requests, None))

    def streams(self, share: int, shares: int) -> int:
        """Return how many of the streams are one process's: none has more than another by two."""
        return _part(int(self.load), share, shares)

    def counted(self, share: int, shares: int) -> float:
        """Return how many requests one process is to count."""
        return math.inf if self.requests is None or self.kind == "rate" else _part(self.requests, share, shares)


def _part(whole: int, share: int, shares: int) -> int:
    return whole // shares + (share < whole % shares)
