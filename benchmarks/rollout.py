"""A rolling update in the simulation: replicas are replaced, and their streams end, or are cut and go on elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.simulation import Cluster

_LOOK_SECONDS = 0.25  # how often it is looked whether a draining replica has no streams left


@dataclass(frozen=True, slots=True)
class Plan:
    """How replicas are replaced: `at_once` at a time, by others beside them (`surge`) or on the machines they leave.

    Times in seconds: `start` until a new replica is healthy, `drain` until streams that still run are cut.
    """

    at_once: int
    surge: bool
    start: float = 10.0
    drain: float = 30.0


class Rollout:
    """A running update, and in the end its record."""

    def __init__(self, cluster: Cluster, plan: Plan, at: float) -> None:
        """Replace all replicas of `cluster` from the time `at` on, while it runs."""
        self.began = self.ended = at
        self.cut_streams = 0
        self.replayed_tokens = 0.0
        self.serving = self.lowest = len(cluster.replicas)
        self._cluster, self._plan = cluster, plan
        self._old = list(range(len(cluster.replicas)))
        for _ in range(plan.at_once):
            cluster.at(at, self._next)

    def _next(self, now: float) -> None:
        if self._old and self._plan.surge:
            leaving = self._old.pop()
            self._cluster.at(now + self._plan.start, lambda later: self._succeed(leaving, later))
        elif self._old:
            self._drain(self._old.pop(), now)

    def _succeed(self, leaving: int, now: float) -> None:
        self._arrive(now)
        self._drain(leaving, now)

    def _arrive(self, now: float) -> None:
        self._cluster.add_replica()
        self.serving += 1
        self.ended = now
        self._next(now)

    def _drain(self, leaving: int, now: float) -> None:
        self._cluster.policy.leave(leaving)
        self.serving -= 1
        self.lowest = min(self.lowest, self.serving)
        self._look(leaving, now + self._plan.drain, now)

    def _look(self, leaving: int, deadline: float, now: float) -> None:
        held = self._cluster.replicas[leaving].held
        if held and now < deadline:
            later = min(now + _LOOK_SECONDS, deadline)
            self._cluster.at(later, lambda time: self._look(leaving, deadline, time))
            return
        self.cut_streams += held
        self.replayed_tokens += self._cluster.cut(leaving)
        self.ended = now
        if not self._plan.surge:
            self._cluster.at(now + self._plan.start, self._arrive)
