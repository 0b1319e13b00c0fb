"""The questions that are asked of the simulation, where their answers can be known."""

import numpy as np
import pytest

from benchmarks import queueing
from benchmarks.policies import LeastRequest, Random
from benchmarks.queueing import MEAN_TOKENS, ROWS, arrivals, held
from benchmarks.simulation import Cluster
from benchmarks.steps import PUBLISHED_GPU, StepTimes, fit

STEP = StepTimes(0.002, 0.0003)


@pytest.mark.parametrize("load", [0.3, 0.7, 0.9])
def test_a_replica_with_random_streams_is_the_birth_and_death_chain_of_its_step_times(load: float):
    cluster = Cluster(STEP, ROWS, Random(0), 10)
    times, tokens = arrivals(cluster, load, 60_000)
    cluster.run(times, tokens)
    later = cluster.streams[10_000:]
    # Little's law: streams there = arrivals a second times the seconds that each stays.
    rate = len(later) / (later[-1].arrived - later[0].arrived) / 10
    there = rate * np.mean([one.finished - one.arrived for one in later])
    states = np.arange(1, 1000)
    rows = np.minimum(states, ROWS)
    ends = rows / (STEP.fixed + STEP.per_row * rows) / MEAN_TOKENS
    weights = np.cumprod(load * ends[-1] / ends)
    assert there == pytest.approx((states * weights).sum() / (1 + weights.sum()), rel=0.08)


@pytest.mark.parametrize("load", [0.3, 0.7, 0.9])
def test_runs_begin_with_the_rows_that_make_what_is_asked_for(load: float):
    rows = held(Cluster(STEP, ROWS, Random(0), 1), load)
    assert rows / (STEP.fixed + STEP.per_row * rows) == pytest.approx(load * STEP.tokens_per_second(ROWS))


def test_a_load_of_one_is_what_full_rows_make():
    cluster = Cluster(STEP, ROWS, LeastRequest(0), 10)
    times, tokens = arrivals(cluster, 1.0, 100_000)
    assert np.mean(tokens) == pytest.approx(MEAN_TOKENS, rel=0.02)
    assert sum(tokens) / times[-1] == pytest.approx(10 * STEP.tokens_per_second(ROWS), rel=0.02)


def test_what_the_better_policy_knows_shortens_the_wait(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(queueing, "LOADS", (0.9,))
    worst = {one.policy: one.worst for one in queueing.by_load(STEP, replicas=30)}
    assert list(worst) == sorted(worst, key=worst.__getitem__, reverse=True)


def test_the_published_step_times_lie_near_a_line():
    step = fit(PUBLISHED_GPU)
    for rows, rate in PUBLISHED_GPU.items():
        assert step.tokens_per_second(rows) == pytest.approx(rate, rel=0.2)
