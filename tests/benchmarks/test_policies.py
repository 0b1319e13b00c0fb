"""What balancers of the simulation know, and what they do not."""

from collections import Counter

import pytest

from benchmarks.policies import LeastRequest, Random, RoundRobin, Sticky


def joined(policy, replicas=4):
    for replica in range(replicas):
        policy.join(replica)
    return policy


def chosen(policy, streams, now=0.0):
    return Counter(policy.choose(now)[1] for _ in range(streams))


def test_round_robin_of_one_client_is_even():
    assert set(chosen(joined(RoundRobin(0)), 40).values()) == {10}


def test_round_robin_of_many_clients_is_even_for_each_of_them_only():
    policy = joined(RoundRobin(0, proxies=50))
    assert max(chosen(policy, 100).values()) > 25


def test_least_request_of_all_is_even_and_one_proxy_does_not_see_another():
    assert set(chosen(joined(LeastRequest(0, choices=0)), 40).values()) == {10}
    policy = joined(LeastRequest(0, proxies=40, choices=0))
    assert max(chosen(policy, 40).values()) > 10


def test_least_request_counts_what_has_ended():
    policy = joined(LeastRequest(0, choices=0), replicas=2)
    proxy, replica = policy.choose(0.0)
    assert policy.choose(0.0)[1] != replica
    policy.ended(proxy, replica)
    assert policy.choose(0.0)[1] == replica


def test_one_connection_stays_with_one_replica():
    assert len(chosen(joined(Sticky(0, connections=1)), 100)) == 1


def test_connections_without_an_age_never_reach_a_new_replica():
    policy = joined(Sticky(0, connections=20))
    chosen(policy, 500)
    policy.join(4)
    assert 4 not in chosen(policy, 500, now=1e9)


def test_connections_with_an_age_reach_a_new_replica_after_it():
    policy = joined(Sticky(0, connections=50, age=10.0))
    chosen(policy, 1000)
    policy.join(4)
    assert 4 in chosen(policy, 1000, now=11.0)


@pytest.mark.parametrize(
    "policy", [Random(0), RoundRobin(0), LeastRequest(0), Sticky(0, 10)], ids=lambda one: type(one).__name__
)
def test_a_replica_that_left_gets_no_stream(policy):
    joined(policy)
    chosen(policy, 100)
    policy.leave(2)
    assert 2 not in chosen(policy, 200)
