"""What models have been asked for, added up: how many requests ended well or not, and where their time went.

Of all protocols together. Lives on the event loop. Knows nothing about gRPC.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from service.chunk import Timings


@dataclass(slots=True)
class Spent:
    """How often, and how long together, in seconds."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.count += 1
        self.seconds += seconds


@dataclass(slots=True)
class Statistics:
    """Of one version of a model.

    succeeded, failed: requests, from when they came until they ended.
    queued, computed: those that succeeded, until their first step and from it.
    last: when the last ended, in seconds since 1970; 0: none has.
    """

    succeeded: Spent = field(default_factory=Spent)
    failed: Spent = field(default_factory=Spent)
    queued: Spent = field(default_factory=Spent)
    computed: Spent = field(default_factory=Spent)
    last: float = 0.0

    def note(self, seconds: float, succeeded: bool, timings: Timings | None) -> None:
        """Count a request that took so long. timings: where its time went, if it got as far as the engine."""
        self.last = time.time()
        (self.succeeded if succeeded else self.failed).add(seconds)
        if succeeded and timings is not None:
            self.queued.add(timings.queue_seconds)
            self.computed.add(timings.prefill_seconds + timings.decode_seconds)
