"""How long a training may go on: in steps, in minutes, or whichever ends first."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """At least one of the two is given."""

    steps: int | None
    minutes: float | None

    def spent(self, step: int, seconds: float) -> float:
        """Return the share that is spent after `step` steps and `seconds`, 1 or more when it is all."""
        by_steps = step / self.steps if self.steps else 0.0
        return max(by_steps, seconds / (60 * self.minutes) if self.minutes else 0.0)

    def seconds_left(self, step: int, seconds: float, steps_per_second: float) -> float:
        """Return how long it will still take at this pace; infinity if the pace is not known yet."""
        by_steps = (self.steps - step) / steps_per_second if self.steps and steps_per_second else math.inf
        return min(by_steps, 60 * self.minutes - seconds if self.minutes else math.inf)
