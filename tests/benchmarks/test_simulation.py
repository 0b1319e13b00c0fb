"""The simulation against queues whose answers are known, and its own bookkeeping."""

from math import factorial

import numpy as np
import pytest

from benchmarks.policies import LeastRequest, Policy, Random, RoundRobin
from benchmarks.simulation import STEPS_TO_FIRST, Cluster
from benchmarks.steps import StepTimes

SECOND = StepTimes(1.0, 0.0)  # a token takes a second, however many rows run
SHARED = StepTimes(0.0, 1.0)  # a row more makes every token as much slower: one processor, shared


def poisson(rate: float, streams: int, mean: float = 1.0) -> tuple[list[float], list[float]]:
    source = np.random.default_rng(3)
    return np.cumsum(source.exponential(1 / rate, streams)).tolist(), source.exponential(mean, streams).tolist()


def run(cluster: Cluster, rate: float, streams: int = 40_000) -> Cluster:
    cluster.run(*poisson(rate, streams))
    return cluster


def erlang_c(servers: int, offered: float) -> float:
    """Return the probability that one has to wait for one of `servers`."""
    full = offered**servers / factorial(servers) * servers / (servers - offered)
    return full / (sum(offered**n / factorial(n) for n in range(servers)) + full)


@pytest.mark.parametrize(("rows", "load"), [(1, 0.5), (4, 0.8), (32, 0.85)])
def test_rows_of_one_speed_are_the_servers_of_erlang(rows: int, load: float):
    cluster = run(Cluster(SECOND, rows, Random(0), 1), rate=rows * load, streams=120_000)
    waited = [one.started - one.arrived for one in cluster.streams]
    expected = erlang_c(rows, rows * load) / (rows * (1 - load))
    assert np.mean(waited) == pytest.approx(expected, rel=0.1)
    assert np.mean(np.array(waited) > 0) == pytest.approx(erlang_c(rows, rows * load), rel=0.1)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_rows_that_slow_each_other_share_one_processor(load: float):
    cluster = run(Cluster(SHARED, 10_000, Random(0), 1), rate=load)
    stayed = [one.finished - one.arrived for one in cluster.streams]
    assert np.mean(stayed) == pytest.approx(1 / (1 - load), rel=0.1)


@pytest.mark.parametrize(
    ("policy", "in_system"),
    [
        (Random(0), lambda load: load / (1 - load)),
        # Vvedenskaya, Dobrushin, Karpelevich 1996; Mitzenmacher 1996: k or more at a server with probability
        # load ** (2 ** k - 1).
        (LeastRequest(0), lambda load: sum(load ** (2**k - 1) for k in range(1, 12))),
    ],
    ids=["random", "of two"],
)
def test_the_better_of_two_replicas_leaves_far_shorter_queues(policy: Policy, in_system):
    load, replicas = 0.8, 200
    cluster = run(Cluster(SECOND, 1, policy, replicas), rate=load * replicas, streams=60_000)
    later = [one.finished - one.arrived for one in cluster.streams[20_000:]]
    assert load * np.mean(later) == pytest.approx(in_system(load), rel=0.1)


def test_the_line_is_what_a_full_replica_makes():
    step, rows = StepTimes(0.01, 0.002), 8
    cluster = Cluster(step, rows, Random(0), 1)
    cluster.run([0.0] * 400, [50.0] * 400)
    assert cluster.now == pytest.approx(400 * 50 / step.tokens_per_second(rows))


def test_a_closed_loop_holds_as_many_streams_at_all_times():
    cluster = Cluster(StepTimes(0.01, 0.001), 4, RoundRobin(0), 3)
    cluster.run_closed(20, iter(poisson(1, 5000, 30)[1]), until=50.0)
    assert sum(replica.held for replica in cluster.replicas) == 20
    finished = [one for one in cluster.streams if one.finished == one.finished]
    assert len(cluster.streams) == len(finished) + 20


def test_every_stream_ends_and_replicas_work_for_its_tokens_and_no_others():
    cluster = run(Cluster(SHARED, 4, LeastRequest(0, proxies=3), 5), rate=3, streams=5000)
    assert all(one.arrived <= one.started < one.finished for one in cluster.streams)
    assert not any(replica.held for replica in cluster.replicas)
    # Where rows share one processor it makes a token a second, whoever it is for.
    made = sum(one.tokens for one in cluster.streams)
    assert sum(replica.busy for replica in cluster.replicas) == pytest.approx(made, rel=1e-9)


def test_the_first_token_comes_steps_after_the_row():
    cluster = Cluster(SECOND, 1, Random(0), 1)
    cluster.run([0.0, 0.0], [5.0, 5.0])
    first, second = cluster.streams
    assert (first.first, first.finished) == (STEPS_TO_FIRST, 5.0)
    assert (second.started, second.first) == (5.0, 5.0 + STEPS_TO_FIRST)


def test_cut_streams_start_from_their_first_token_elsewhere():
    cluster = Cluster(SECOND, 1, RoundRobin(0), 2)
    made_again: list[float] = []

    def cut(now: float) -> None:
        cluster.policy.leave(cluster.streams[0].replica)
        made_again.append(cluster.cut(cluster.streams[0].replica))

    cluster.at(3.0, cut)
    cluster.run([0.0], [10.0])
    assert made_again == [3.0]
    assert cluster.streams[0].finished == 13.0


@pytest.mark.parametrize("policy", [Random, RoundRobin, LeastRequest])
def test_the_same_seed_gives_the_same_run(policy):
    first, again = (run(Cluster(StepTimes(0.01, 0.003), 4, policy(7), 5), 400, 2000) for _ in range(2))
    assert first.streams == again.streams
