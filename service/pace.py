"""How fast samples end, and so how long a full queue takes to empty. Knows nothing about what a sample is."""

from __future__ import annotations

from collections import deque

RECENT = 64
UNKNOWN_SECONDS = 1.0
SHORTEST_SECONDS, LONGEST_SECONDS = 0.1, 60.0


class Pace:
    """The times of the last endings, and of the places promised to those who were sent away."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque(maxlen=RECENT)
        self._promised = 0.0

    @property
    def known(self) -> bool:
        """Whether enough have ended to tell."""
        return len(self._ends) >= RECENT // 4

    def record(self, now: float) -> None:
        """Note that one has ended."""
        self._ends.append(now)

    def resume(self, now: float) -> None:
        """Note that work comes after there was none: the time in between says nothing about the pace."""
        # The time of the first ones begins here, not when they have ended.
        idle = now - (self._ends[-1] if self._ends else now)
        self._ends = deque((end + idle for end in self._ends or (now,)), RECENT)

    def seconds_for(self, count: int, now: float) -> float:
        """Return how long `count` more take to end, at the pace of the last ones until now."""
        # What ended together with the first belongs to the time before it: those that begin together end so, too.
        ended = sum(end > self._ends[0] for end in self._ends)
        return count * (now - self._ends[0]) / ended if ended else UNKNOWN_SECONDS

    def promise(self, waiting: int, now: float) -> float:
        """Return in how many seconds one should come back who is sent away while `waiting` wait.

        Nobody else is told the same time: as one comes back, one more has ended. And the first comes when the queue is
        gone, so that there is room even if it goes more slowly than it did.
        """
        earliest = now + self.seconds_for(waiting, now)
        self._promised = max(self._promised + self.seconds_for(1, now), earliest)
        # A limit to what one has to wait is also one to what is promised: the pace may have changed since.
        self._promised = min(self._promised, now + LONGEST_SECONDS)
        return max(self._promised - now, SHORTEST_SECONDS)
