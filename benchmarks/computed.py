"""Everything that scaling computes from what was measured, and how far the computation is from the measurement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks import change, closed_loop, queueing
from benchmarks.change import Reading, Scaled, Updated
from benchmarks.measured import MODELS, Measured
from benchmarks.policies import LeastRequest, Policy, RoundRobin, Sticky
from benchmarks.queueing import Waiting
from benchmarks.replicas import ROWS, Run
from benchmarks.simulation import Cluster
from benchmarks.steps import PUBLISHED_GPU, StepTimes, fit

# What each balancer does, in the simulation. HAProxy and nginx look at all servers, Envoy at two of them.
_POLICIES: dict[str, Callable[[], Policy]] = {
    "none": lambda: RoundRobin(0),
    "round_robin": lambda: RoundRobin(0),
    "envoy": lambda: LeastRequest(0),
    "haproxy": lambda: LeastRequest(0, choices=0),
    "nginx": lambda: LeastRequest(0, choices=0),
    "tcp": lambda: Sticky(0, 1),
}
_BEGIN, _END = 10.0, 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """A measured run computed again: tokens/s and the median time to the first token, with the cores that there were.

    alone: tokens/s, had every server a core to itself.
    """

    run: Run
    tokens_per_second: float
    first_token: float
    alone: float


@dataclass(frozen=True, slots=True)
class Computed:
    """All that was computed, from the step times of a Transformer LM on one core unless its name says otherwise."""

    steps: dict[str, StepTimes]
    gpu: StepTimes
    checks: list[Check]
    by_load: list[Waiting]
    by_load_gpu: list[Waiting]
    by_size: list[Waiting]
    by_proxies: list[Waiting]
    largest_gpu: list[Waiting]
    updates: list[Updated]
    spreading: dict[float, list[tuple[float, float]]]
    readings: list[Reading]
    scaled: dict[str, Scaled]


def compute(measured: Measured, say: Callable[[str], None]) -> Computed:
    """Compute everything; about two minutes."""
    steps = {name: fit(rates.served) for name, rates in measured.rates.items()}
    step, gpu = steps[MODELS[0]], fit(PUBLISHED_GPU)
    say("the measured runs again")
    checks = [check(run, steps[run.model], measured.cores) for run in measured.replicas.runs]
    say("queueing")
    loads = queueing.by_load(step), queueing.by_load(gpu)
    say("up to 1,000 replicas")
    sizes, proxies, largest = queueing.by_size(step), queueing.by_proxies(step), queueing.largest(gpu)
    say("updates and scaling")
    return Computed(
        steps,
        gpu,
        checks,
        *loads,
        sizes,
        proxies,
        largest,
        updates=[change.update(step, plan) for plan in change.PLANS],
        spreading={age: change.spreading(step, age) for age in change.AGES},
        readings=change.readings(step),
        scaled={name: change.scale(step, scaling) for name, scaling in change.SCALINGS.items()},
    )


def check(run: Run, step: StepTimes, cores: int) -> Check:
    """Compute a measured run: `step` is what one server with a core to itself does."""
    rate, first = _closed(run, step.slower(_slower(run, step, cores)))
    return Check(run, rate, first, _closed(run, step)[0])


def _slower(run: Run, step: StepTimes, cores: int) -> float:
    """Return how many times longer a step takes because servers, balancer and load generator share the cores."""
    busy = 1 if run.balancer == "tcp" else run.servers
    rows = min(ROWS, closed_loop.STREAMS // busy)
    of_server = step.seconds(rows) / rows
    of_others = (run.seen.client_cpu + run.balancer_cpu) / run.seen.tokens_per_second
    return max(1.0, busy * (of_server + of_others) / (of_server * cores))


def _closed(run: Run, step: StepTimes) -> tuple[float, float]:
    cluster = Cluster(step, ROWS, _POLICIES[run.balancer](), run.servers)
    cluster.run_closed(closed_loop.STREAMS, map(float, closed_loop.lengths(0)), _END)
    tokens = sum(one.tokens for one in cluster.streams if _BEGIN < one.finished <= _END)
    return tokens / (_END - _BEGIN), float(np.median(cluster.waits(_BEGIN, _END - _BEGIN)))
