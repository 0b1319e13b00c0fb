"""How many CPU threads compute: a number that was asked for, or the better of all cores and one, again and again.

On a machine that others use too, parallel steps wait for whichever thread has no core just now and can take a hundred
times as long; one thread hardly notices. So where the number is left open it is measured, not guessed. Knows nothing
about what a step computes.
"""

from __future__ import annotations

import math
import os
import statistics
import time

import torch

_REPEATS = 4  # steps for each candidate in a trial; the first of them only gets used to it
_HOPELESS = 2.0  # a candidate whose first step takes so many times what is usual is given up at once
_COLLAPSE = 3.0  # a step that takes so many times what is usual calls for a trial
_SECONDS_BETWEEN_TRIALS = 20.0
_SECONDS_BEFORE_NEXT = 2.0
_LONGEST_BETWEEN = 320.0


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Threads:
    """Sets the number of threads between steps that are alike.

    Args:
        candidates: the numbers to choose from, the best guess first; a single one is set once and stays.

    Attributes:
        current: the number in use.
    """

    def __init__(self, candidates: tuple[int, ...]) -> None:
        self._candidates = candidates
        self._plan = self._repeats(min(candidates)) if len(candidates) > 1 else []
        self._times: dict[int, list[float]] = {}
        self._usual = math.inf
        self._decided_at = -math.inf
        self._between = _SECONDS_BETWEEN_TRIALS
        self.current = candidates[0]
        self.resume()

    def resume(self) -> None:
        """Set the number for the next step, behind something else that may have set another."""
        number = self._plan[0] if self._plan else self.current
        if torch.get_num_threads() != number:
            torch.set_num_threads(number)

    def after_step(self, seconds: float) -> None:
        """Take note that a step took `seconds`, and set the number of threads for the next one."""
        if len(self._candidates) == 1:
            return
        if self._plan:
            self._record(self._plan.pop(0), seconds)
        elif self._trial_is_due(seconds):
            self._times = {}
            self._plan = self._repeats(min(self._candidates))
        self.resume()

    def _record(self, number: int, seconds: float) -> None:
        times = self._times.setdefault(number, [])
        times.append(seconds)
        if len(times) == 1 and len(self._times) > 1 and seconds > _HOPELESS * self._usual:
            self._plan = [other for other in self._plan if other != number]
        if self._plan:
            return
        self._usual = min(_typical(times) for times in self._times.values())
        if rest := [other for other in self._candidates if other not in self._times]:
            self._plan = self._repeats(rest[0])
        else:
            self._decide()

    def _decide(self) -> None:
        better = min(self._times, key=lambda number: _typical(self._times[number]))
        # The same answer again and again: ask less and less often.
        same = better == self.current and self._decided_at > 0
        self._between = min(2 * self._between, _LONGEST_BETWEEN) if same else _SECONDS_BETWEEN_TRIALS
        self.current = better
        self._decided_at = time.monotonic()

    def _trial_is_due(self, seconds: float) -> bool:
        since = time.monotonic() - self._decided_at
        collapsed = seconds > _COLLAPSE * self._usual and since > _SECONDS_BEFORE_NEXT
        return since > self._between or (collapsed and self.current != min(self._candidates))

    @staticmethod
    def _repeats(number: int) -> list[int]:
        """A trial begins with the smallest number: others are measured against it, and it is never hopeless."""
        return [number] * _REPEATS


def _typical(times: list[float]) -> float:
    return statistics.median(times[1:] or times)
