"""Loss, speed and time left, measured while the steps run. Knows nothing about what a step does."""

from __future__ import annotations

import statistics
import time
from collections import deque

from torch import Tensor

_FIRST_ESTIMATE_SECONDS = 3.0
_FIRST_ESTIMATE_READINGS = 3
_RECENT = 9


class Meter:
    """Counts the steps since the last reading; time spent between `read` and `restart` is nobody's."""

    def __init__(self) -> None:
        self._paces: deque[float] = deque(maxlen=_RECENT)
        self._seconds = 0.0
        self._announced = False
        self.restart()

    def restart(self) -> None:
        """Begin to measure anew, behind something that is not a step."""
        self._began = time.perf_counter()
        self._losses: list[Tensor] = []
        self._tokens = 0

    @property
    def pending(self) -> bool:
        """Whether steps have been added since the last reading."""
        return bool(self._losses)

    def add(self, loss: Tensor, tokens: int) -> None:
        """Count a step. The loss is not looked at yet: on a GPU that would wait for it."""
        self._losses.append(loss)
        self._tokens += tokens

    def read(self) -> tuple[float, float]:
        """Return the mean loss and tokens per second of the steps since the last reading, and begin anew."""
        steps, tokens = len(self._losses), self._tokens
        loss = sum(loss.item() for loss in self._losses) / steps
        elapsed = max(time.perf_counter() - self._began, 1e-9)
        self._paces.append(steps / elapsed)
        self._seconds += elapsed
        self.restart()
        return loss, tokens / elapsed

    @property
    def steps_per_second(self) -> float:
        """The median of the last readings, so that a few slow steps do not count."""
        return statistics.median(self._paces) if self._paces else 0.0

    def first_estimate(self) -> bool:
        """Return True once, as soon as the speed is known well enough to say how long all will take."""
        known = self._seconds >= _FIRST_ESTIMATE_SECONDS and len(self._paces) >= _FIRST_ESTIMATE_READINGS
        due = known and not self._announced
        self._announced = self._announced or known
        return due
