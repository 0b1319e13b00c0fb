"""The load generator, on real servers."""

import asyncio
from itertools import islice

from benchmarks.balancers import round_robin
from benchmarks.closed_loop import LONGEST, SHORTEST, Load, lengths, run
from benchmarks.server import serving
from tests.exported import Bundles


def test_the_same_seed_asks_for_the_same_lengths():
    first, again = (list(islice(lengths(5), 1000)) for _ in range(2))
    assert first == again
    assert (min(first), max(first)) == (SHORTEST, LONGEST)


def test_a_steady_load_on_two_servers_is_seen_and_ends(bundles: Bundles):
    bundles.path("gru")
    flags = ("--threads", "1", "--rows", "4")
    with serving(bundles.models, *flags) as first, serving(bundles.models, *flags) as second:
        servers = [first.address, second.address]
        with round_robin(servers) as balancer:
            seen = asyncio.run(run(balancer.address, servers, Load("gru", 12, 0.3, 1.0), seed=1))
    assert seen.tokens_per_second >= seen.messages_per_second > 0
    assert 0 < seen.gap <= seen.gap_99
    assert 0 < seen.first_token <= seen.first_token_99
    assert 1 <= seen.imbalance < 2
    assert 0 < seen.client_cpu < 1.2
