"""An autoscaler in the simulation, of the kind of Kubernetes: replicas * metric / target, every so many seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.simulation import Cluster

_TOLERANCE = 1.1  # nothing changes within a tenth of the target


@dataclass(frozen=True, slots=True)
class Scaling:
    """What is read, a value of all replicas together, and its `target` a replica; times in seconds.

    At most twice as many replicas as before in one period, and `most` altogether. It only scales up: the question is
    how fast.
    """

    metric: Callable[[Cluster], float]
    target: float
    most: int
    period: float = 15.0
    start: float = 10.0


class Autoscaler:
    """Watches a cluster while it runs. `changes`: (seconds, replicas wanted from then on)."""

    def __init__(self, cluster: Cluster, scaling: Scaling) -> None:
        self.changes = [(0.0, len(cluster.replicas))]
        self._cluster, self._scaling = cluster, scaling
        cluster.at(scaling.period, self._look)

    def _look(self, now: float) -> None:
        scaling, wanted = self._scaling, self.changes[-1][1]
        serving = len(self._cluster.replicas)
        ratio = scaling.metric(self._cluster) / (serving * scaling.target)
        more = min(math.ceil(serving * ratio), 2 * wanted, scaling.most)
        if ratio > _TOLERANCE and more > wanted:
            self.changes.append((now, more))
            for _ in range(more - wanted):
                self._cluster.at(now + scaling.start, self._arrive)
        self._cluster.at(now + scaling.period, self._look)

    def _arrive(self, now: float) -> None:
        self._cluster.add_replica()


def waiting(cluster: Cluster) -> float:
    """Return how many streams wait for a row."""
    return sum(len(replica.waiting) for replica in cluster.replicas)


def rows_running(cluster: Cluster) -> float:
    """Return how many rows run."""
    return sum(len(replica.running) for replica in cluster.replicas)


def busy(cluster: Cluster) -> float:
    """Return how many replicas compute: one with a single stream has no time left either."""
    return sum(1 for replica in cluster.replicas if replica.running)


METRICS: Sequence[Callable[[Cluster], float]] = (waiting, rows_running, busy)
