"""Rolling updates and autoscaling, in the simulation."""

import pytest

from benchmarks import autoscaler
from benchmarks.autoscaler import Autoscaler, Scaling
from benchmarks.policies import LeastRequest
from benchmarks.rollout import Plan, Rollout
from benchmarks.simulation import Cluster
from benchmarks.steps import StepTimes, fit

STEP = StepTimes(0.1, 0.0)


def rolled(plan: Plan, tokens: float = 20.0, streams: int = 200) -> tuple[Cluster, Rollout]:
    cluster = Cluster(STEP, 4, LeastRequest(0, choices=0), 6)
    rollout = Rollout(cluster, plan, at=5.0)
    cluster.run([0.2 * number for number in range(streams)], [tokens] * streams)
    return cluster, rollout


def serving(cluster: Cluster) -> set[int]:
    return {cluster.policy.choose(0.0)[1] for _ in range(100)}


@pytest.mark.parametrize("surge", [True, False])
@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_an_update_replaces_every_replica(at_once: int, surge: bool):
    cluster, rollout = rolled(Plan(at_once, surge, start=2.0))
    assert serving(cluster) == set(range(6, 12))
    assert all(one.finished == one.finished for one in cluster.streams)
    assert rollout.ended > rollout.began
    assert rollout.cut_streams == 0


def test_with_room_beside_the_old_ones_no_capacity_is_missing():
    assert rolled(Plan(2, surge=True, start=2.0))[1].lowest == 6
    assert rolled(Plan(2, surge=False, start=2.0))[1].lowest == 4


def test_an_update_takes_as_long_as_starts_and_drains_one_behind_the_other():
    _, rollout = rolled(Plan(1, surge=False, start=2.0))
    # Six times: a start, and at most the 20 tokens of a stream, looked at every quarter of a second.
    assert 6 * 2.0 < rollout.ended - rollout.began <= 6 * (2.0 + 2.0 + 0.25) + 1e-6


def test_a_drain_shorter_than_streams_cuts_them_and_makes_their_tokens_again():
    cluster, rollout = rolled(Plan(1, surge=False, start=2.0, drain=0.5))
    assert rollout.cut_streams > 0
    assert 0 < rollout.replayed_tokens <= 20 * rollout.cut_streams
    assert all(one.finished == one.finished for one in cluster.streams)


def test_nothing_scales_while_nothing_waits():
    cluster = Cluster(STEP, 4, LeastRequest(0), 2)
    scaler = Autoscaler(cluster, Scaling(autoscaler.waiting, target=1.0, most=50))
    cluster.run([0.5 * number for number in range(200)], [10.0] * 200, until=100.0)
    assert scaler.changes == [(0.0, 2)]


def test_a_queue_scales_by_what_waits_and_no_more_than_twice_at_a_time():
    cluster = Cluster(STEP, 4, LeastRequest(0), 2)
    scaler = Autoscaler(cluster, Scaling(autoscaler.waiting, target=1.0, most=7))
    cluster.run([0.02 * number for number in range(3000)], [10.0] * 3000, until=60.0)
    assert scaler.changes == [(0.0, 2), (15.0, 4), (30.0, 7)]
    assert len(cluster.replicas) == 7


def test_a_line_is_fitted_through_rates_that_lie_on_one():
    step = StepTimes(0.002, 0.0001)
    fitted = fit({rows: step.tokens_per_second(rows) for rows in (1, 8, 32)})
    assert (fitted.fixed, fitted.per_row) == (pytest.approx(step.fixed), pytest.approx(step.per_row))
