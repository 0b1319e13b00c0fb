"""Loss, speed and time left, measured while the steps run. Knows nothing about what a step does."""

from __future__ import annotations

import time

from torch import Tensor

_FIRST_ESTIMATE_SECONDS = 3.0
_FIRST_ESTIMATE_STEPS = 5


class Meter:
    """Counts the steps since the last reading; time spent between `read` and `restart` is nobody's."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.steps = 0
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
        loss = sum(loss.item() for loss in self._losses) / len(self._losses)
        elapsed = max(time.perf_counter() - self._began, 1e-9)
        speed = self._tokens / elapsed
        self.seconds += elapsed
        self.steps += len(self._losses)
        self.restart()
        return loss, speed

    @property
    def steps_per_second(self) -> float:
        """Over all steps read so far, without what lay between them."""
        return self.steps / self.seconds if self.seconds else 0.0

    def first_estimate(self) -> bool:
        """Return True once, as soon as the speed is known well enough to say how long all will take."""
        known = self.seconds >= _FIRST_ESTIMATE_SECONDS and self.steps >= _FIRST_ESTIMATE_STEPS
        due = known and not self._announced
        self._announced = self._announced or known
        return due
