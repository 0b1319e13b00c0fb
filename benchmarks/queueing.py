"""How long streams wait for their first token, by policy: at rising loads, with more replicas, through more proxies.

Every figure here is computed. Streams arrive at random (a Poisson process) and are exponentially long, MEAN_TOKENS in
the mean; a load of 1 is what all replicas can do together with full rows. The same seed gives the same figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.policies import LeastRequest, Policy, Random, RoundRobin, Sticky
from benchmarks.simulation import Cluster
from benchmarks.steps import StepTimes

MEAN_TOKENS = 256
ROWS = 32
LOADS = (0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
SIZES = (2, 5, 10, 30, 100, 1000)
PROXIES = (1, 5, 10, 20, 50, 100)
LARGE_ROWS = 128
_STREAMS, _STREAMS_A_REPLICA = 30_000, 200

# By name: how a policy is made for a number of replicas.
POLICIES: Mapping[str, Callable[[int], Policy]] = {
    "connections, 4 a replica": lambda replicas: Sticky(1, 4 * replicas),
    "random": lambda _: Random(1),
    "round robin, 10 clients": lambda _: RoundRobin(1, 10),
    "least request of 2, 10 proxies": lambda _: LeastRequest(1, 10),
    "least request of 2, 1 proxy": lambda _: LeastRequest(1, 1),
}
# By name: how a policy is made for a number of proxies.
PROXIED: Mapping[str, Callable[[int], Policy]] = {
    "round robin": lambda proxies: RoundRobin(1, proxies),
    "least request of 2": lambda proxies: LeastRequest(1, proxies),
    "least request of all": lambda proxies: LeastRequest(1, proxies, 0),
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """Seconds to the first token, median and 99th percentile, of one run at `x`; most: streams there at once."""

    policy: str
    x: float
    median: float
    worst: float
    most: int


def by_load(step: StepTimes, replicas: int = 100) -> list[Waiting]:
    """Return how long streams wait under every policy at rising loads."""
    return [
        _wait((name, load), Cluster(step, ROWS, make(replicas), replicas), load, _STREAMS)
        for name, make in POLICIES.items()
        for load in LOADS
    ]


def by_size(step: StepTimes, load: float = 0.9) -> list[Waiting]:
    """Return how long streams wait under every policy with more and more replicas, and as many more streams."""
    return [
        _wait((name, size), Cluster(step, ROWS, make(size), size), load, max(_STREAMS, _STREAMS_A_REPLICA * size))
        for name, make in POLICIES.items()
        for size in SIZES
    ]


def by_proxies(step: StepTimes, replicas: int = 100, load: float = 0.9) -> list[Waiting]:
    """Return how long streams wait when more and more proxies, or clients, each see only their own streams."""
    return [
        _wait((name, proxies), Cluster(step, ROWS, make(proxies), replicas), load, _STREAMS)
        for name, make in PROXIED.items()
        for proxies in PROXIES
    ]


def largest(step: StepTimes, replicas: int = 1000, load: float = 0.98) -> list[Waiting]:
    """Return the waits under every policy of 1,000 replicas of LARGE_ROWS rows: 100,000 streams at once."""
    return [
        _wait((name, load), Cluster(step, LARGE_ROWS, make(replicas), replicas), load, _STREAMS_A_REPLICA * replicas)
        for name, make in POLICIES.items()
    ]


def arrivals(cluster: Cluster, load: float, streams: int, seed: int = 0) -> tuple[list[float], list[float]]:
    """Return when streams arrive, in seconds, and how many tokens each has."""
    source = np.random.default_rng(seed)
    rate = load * len(cluster.replicas) * cluster.step.tokens_per_second(cluster.rows) / MEAN_TOKENS
    times = np.cumsum(source.exponential(1 / rate, streams))
    return times.tolist(), np.ceil(source.exponential(MEAN_TOKENS, streams)).tolist()


def percentiles(waits: list[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile."""
    median, worst = np.percentile(waits, (50, 99))
    return float(median), float(worst)


def _wait(at: tuple[str, float], cluster: Cluster, load: float, streams: int) -> Waiting:
    times, tokens = arrivals(cluster, load, streams)
    # At the beginning the replicas hold what they hold in the long run, and what is left of an exponential length is as
    # long as a whole one. Until a third of the streams has come nothing is counted.
    there = round(held(cluster, load) * len(cluster.replicas))
    lengths = np.ceil(np.random.default_rng(1).exponential(MEAN_TOKENS, there)).tolist()
    cluster.run([0.0] * there + times, lengths + tokens)
    median, worst = percentiles(cluster.waits(times[streams // 3], times[-1]))
    ends = np.sort([stream.finished for stream in cluster.streams])
    there_at_once = there + np.arange(1, streams + 1) - np.searchsorted(ends, times)
    return Waiting(*at, median, worst, int(there_at_once[streams // 3 :].max()))


def held(cluster: Cluster, load: float) -> float:
    """Return how many rows of a replica run in the mean: as many as make the tokens that are asked for."""
    asked = load * cluster.step.tokens_per_second(cluster.rows)
    return asked * cluster.step.fixed / (1 - asked * cluster.step.per_row)
