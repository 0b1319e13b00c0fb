"""What happens while replicas change: rolling updates, connections that age, autoscalers. Every figure is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import autoscaler
from benchmarks.autoscaler import Autoscaler, Scaling
from benchmarks.policies import LeastRequest, Sticky
from benchmarks.queueing import MEAN_TOKENS, ROWS, arrivals, percentiles
from benchmarks.rollout import Plan, Rollout
from benchmarks.simulation import Cluster
from benchmarks.steps import StepTimes

UPDATED, UPDATE_LOAD = 20, 0.75
PLANS = (
    *(Plan(at_once, surge=True) for at_once in (1, 5)),
    *(Plan(at_once, surge=False) for at_once in (1, 2, 5, 6, 7, 10)),
    *(Plan(2, surge=False, drain=drain) for drain in (3.0, 1.0, 0.0)),
)
AGES = (float("inf"), 300.0, 60.0)
SCALED = 10
LOW, HIGH = 0.4, 1.6
SCALINGS = {
    "streams waiting, 4 a replica": Scaling(autoscaler.waiting, 4.0, 60),
    "rows running, 70 %": Scaling(autoscaler.rows_running, 0.7 * ROWS, 60),
    "rows running, 90 %": Scaling(autoscaler.rows_running, 0.9 * ROWS, 60),
    "CPU, 70 %": Scaling(autoscaler.busy, 0.7, 60),
}
_RISE, _END = 120.0, 420.0


@dataclass(frozen=True, slots=True)
class Updated:
    """A rolling update, in seconds; lowest, replayed: shares of the replicas and of the tokens made meanwhile."""

    plan: Plan
    seconds: float
    lowest: float
    median: float
    worst: float
    cut: int
    replayed: float


def update(step: StepTimes, plan: Plan) -> Updated:
    """Return what an update does to streams that arrive while it goes on."""
    cluster = Cluster(step, ROWS, LeastRequest(1, 1), UPDATED)
    times, tokens = _steady(cluster, UPDATE_LOAD, 600.0)
    rollout = Rollout(cluster, plan, at=60.0)
    cluster.run(times, tokens)
    median, worst = percentiles(cluster.waits(rollout.began, rollout.ended))
    made = sum(one.tokens for one in cluster.streams if rollout.began <= one.arrived <= rollout.ended)
    return Updated(
        plan,
        rollout.ended - rollout.began,
        rollout.lowest / UPDATED,
        median,
        worst,
        rollout.cut_streams,
        rollout.replayed_tokens / made,
    )


def spreading(step: StepTimes, age: float) -> list[tuple[float, float]]:
    """Return (seconds since, share of new streams that new replicas get) when 10 join 10, by age of connections."""
    joined, lasts, window = 180.0, 420.0, 15.0
    cluster = Cluster(step, ROWS, Sticky(1, 400, age), SCALED)
    times, tokens = _steady(cluster, 0.5, joined + lasts)
    for _ in range(SCALED):
        cluster.at(joined, lambda _: _join(cluster))
    cluster.run(times, tokens)
    return [
        (begin + window / 2, _share(cluster, joined + begin, joined + begin + window))
        for begin in np.arange(0.0, lasts, window).tolist()
    ]


def _join(cluster: Cluster) -> None:
    cluster.add_replica()


def _share(cluster: Cluster, begin: float, end: float) -> float:
    inside = [one.replica for one in cluster.streams if begin <= one.arrived < end]
    return sum(replica >= SCALED for replica in inside) / len(inside)


@dataclass(frozen=True, slots=True)
class Reading:
    """What metrics show at a load: shares of replicas that compute and of rows that run, streams waiting a replica."""

    load: float
    busy: float
    rows: float
    waiting: float


def readings(step: StepTimes, loads: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9, 1.1)) -> list[Reading]:
    """Return what every metric shows at steady loads, in the mean over a minute after the first one."""
    return [_read(step, load) for load in loads]


def _read(step: StepTimes, load: float) -> Reading:
    cluster = Cluster(step, ROWS, LeastRequest(1, 1), SCALED)
    times, tokens = _steady(cluster, load, 120.0)
    found: list[tuple[float, ...]] = []
    for moment in np.arange(60.0, 120.0, 0.5).tolist():
        cluster.at(moment, lambda _: found.append(tuple(read(cluster) for read in autoscaler.METRICS)))
    cluster.run(times, tokens)
    waiting, rows, busy = np.mean(found, axis=0) / SCALED
    return Reading(load, float(busy), float(rows) / ROWS, float(waiting))


@dataclass(frozen=True, slots=True)
class Scaled:
    """What an autoscaler did: replicas wanted before the load rose and at the end; seconds in which streams waited."""

    before: int
    after: int
    slow: float  # from the rise until no stream waited longer than a second
    longest: float  # longest time to the first token


def scale(step: StepTimes, scaling: Scaling) -> Scaled:
    """Return how an autoscaler answers when the load of 10 replicas rises at once from LOW to HIGH."""
    cluster = Cluster(step, ROWS, LeastRequest(1, 1), SCALED)
    scaler = Autoscaler(cluster, scaling)
    calm, calm_tokens = _steady(cluster, LOW, _RISE)
    rush, rush_tokens = _steady(cluster, HIGH, _END - _RISE, seed=1)
    cluster.run([*calm, *(_RISE + time for time in rush)], [*calm_tokens, *rush_tokens], until=_END)
    rushed = [one for one in cluster.streams if one.arrived >= _RISE]
    waits = np.array([(one.first if one.first == one.first else _END) - one.arrived for one in rushed])
    slow = [one.arrived for one, wait in zip(rushed, waits, strict=True) if wait > 1.0]
    return Scaled(
        before=max(wanted for time, wanted in scaler.changes if time < _RISE),
        after=scaler.changes[-1][1],
        slow=max(slow, default=_RISE) - _RISE,
        longest=float(waits.max()),
    )


def _steady(cluster: Cluster, load: float, seconds: float, seed: int = 0) -> tuple[list[float], list[float]]:
    rate = load * len(cluster.replicas) * cluster.step.tokens_per_second(cluster.rows) / MEAN_TOKENS
    times, tokens = arrivals(cluster, load, int(1.2 * rate * seconds) + 100, seed)
    inside = sum(time < seconds for time in times)
    return times[:inside], tokens[:inside]
