"""How fast samples end, and so how long a full queue takes to empty. Knows nothing about what a sample is."""

from __future__ import annotations

from collections import deque

RECENT = 64
UNKNOWN_SECONDS = 1.0
SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 60.0


class Pace:
    """The times of the last endings."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque(maxlen=RECENT)

    def record(self, now: float) -> None:
        """Note that one has ended."""
        self._ends.append(now)

    def seconds_for(self, count: int, now: float) -> float:
        """Return how long `count` more take to end, at the pace of the last ones until now."""
        if len(self._ends) < 2:
            return UNKNOWN_SECONDS
        each = (now - self._ends[0]) / (len(self._ends) - 1)
        return min(max(count * each, SHORTEST_SECONDS), LONGEST_SECONDS)
