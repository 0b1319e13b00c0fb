"""Whose turn it is: tenants share tokens, nobody saves up turns, and within a tenant urgency and age decide."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.inbox import Inbox
from service.request import GenerationRequest, StopConditions
from service.sequence import Sequence
from service.stream import Cancellation, Stream
from service.turns import Held, Turns
from tests.service.engine.bench import Bench


def sequence(tenant="", prompt=1, priority=0, samples=1, name="r"):
    request = GenerationRequest(
        name, (1,) * prompt, StopConditions(5), samples=samples, tenant=tenant, priority=priority
    )
    return Sequence(Stream(request, Inbox(), lambda: 0.0), 0.0)


def added(turns, *sequences):
    for one in sequences:
        turns.add(one)
    return list(sequences)


def test_without_tenants_the_oldest_is_first():
    turns = Turns(dict)
    everyone = added(turns, *(sequence(prompt=length) for length in (5, 1, 9)))
    assert list(turns) == everyone and len(turns) == 3


def test_of_a_tenant_the_more_urgent_go_first_and_of_those_the_older():
    turns = Turns(dict)
    low, first, second, high = added(turns, *(sequence(priority=priority) for priority in (-1, 0, 0, 3)))
    assert list(turns) == [high, first, second, low]
    turns.take(high)
    turns.remove(second)
    assert list(turns) == [first, low]


def test_urgency_counts_for_nothing_between_tenants():
    turns = Turns(dict)
    first, urgent = added(turns, sequence("a"), sequence("b", priority=10))
    assert list(turns) == [first, urgent]


def test_a_newcomer_goes_before_a_queue_of_another_that_had_its_turns():
    turns = Turns(dict)
    crowd = added(turns, *(sequence("crowd") for _ in range(500)))
    for one in crowd[:10]:
        turns.take(one)
    (newcomer,) = added(turns, sequence("new"))
    assert next(iter(turns)) is newcomer


def test_running_samples_count_at_once_and_not_only_when_they_end():
    held = {}
    turns = Turns(lambda: held)
    busy, other = added(turns, sequence("busy"), sequence("other"))
    held["busy"] = Held(rows=4, tokens=100)
    assert list(turns) == [other, busy]


def test_being_away_saves_no_turns():
    turns = Turns(dict)
    for one in added(turns, *(sequence("present", prompt=10) for _ in range(100))):
        turns.take(one)
    added(turns, *(sequence("present", prompt=10) for _ in range(10)))
    added(turns, *(sequence("away", prompt=10) for _ in range(10)))
    order = [one.request.tenant for one in turns]
    assert Counter(order[:10]) == {"present": 5, "away": 5}


def test_a_tenant_that_has_all_its_rows_is_left_out_and_holds_up_nobody():
    held = {"full": Held(rows=2)}
    turns = Turns(lambda: held, most_rows=2)
    _, other, another = added(turns, sequence("full"), sequence("other", samples=2), sequence("other"))
    assert list(turns) == [other]
    turns.take(other)
    assert list(turns) == [another]


def test_names_that_came_once_take_no_memory():
    turns = Turns(dict)
    for number in range(10_000):
        (one,) = added(turns, sequence(f"tenant{number}"))
        turns.take(one)
    assert len(turns._tenants) <= 1024


@settings(max_examples=25)
@given(
    st.lists(st.integers(2, 30), min_size=2, max_size=4),
    st.lists(st.integers(1, 40), min_size=2, max_size=4),
    st.integers(1, 8),
)
def test_tenants_with_enough_to_do_get_equal_tokens_whatever_their_requests_are_like(prompts, drawn, rows):
    running: list[tuple[str, int]] = []

    def held():
        found = {}
        for tenant, tokens in running:
            mine = found.setdefault(tenant, Held())
            mine.rows, mine.tokens = mine.rows + 1, mine.tokens + tokens
        return found

    turns, work = Turns(held), Counter()
    tenants = [f"t{number}" for number in range(min(len(prompts), len(drawn)))]
    for tenant, prompt in zip(tenants, prompts, strict=False):
        added(turns, *(sequence(tenant, prompt=prompt) for _ in range(1000)))
    for _ in range(120):
        while len(running) < rows:
            one = next(iter(turns))
            turns.take(one)
            work[one.request.tenant] += one.request.prompt_tokens
            running.append((one.request.tenant, 0))
        running[:] = [(tenant, tokens + 1) for tenant, tokens in running]
        work.update(tenant for tenant, _ in running)
        lengths = dict(zip(tenants, drawn, strict=False))
        for tenant, tokens in [entry for entry in running if entry[1] >= lengths[entry[0]]]:
            running.remove((tenant, tokens))
            turns.charge(tenant, tokens)
    # Sheng et al. 2024, theorem 4.4: the difference is bounded by what fits into the rows, however long it goes on.
    bound = 2 * rows * (max(prompts) + max(drawn))
    for one, other in itertools.combinations(tenants, 2):
        assert abs(work[one] - work[other]) <= bound


@pytest.mark.parametrize("chunk", ["batch", "single"])
def test_one_tenant_with_a_long_queue_delays_another_by_one_round_at_most(chunk):
    bench = Bench(chunk=chunk)
    for _ in range(200):
        bench.submit([1], new=5, tenant="crowd")
    for _ in range(20):
        bench.iterate()
    newcomer = bench.submit([1], new=5, tenant="new")
    iterations = 0
    while not bench.tokens(newcomer)[0]:
        bench.iterate()
        iterations += 1
    assert iterations <= 5, "as long as the samples that run"


def test_tokens_of_samples_that_are_cancelled_have_been_served_too():
    bench = Bench()
    streams = [bench.submit([1], new=50, tenant="gone") for _ in range(4)]
    for _ in range(10):
        bench.iterate()
    for stream in streams:
        bench.batch.cancel(Cancellation(stream))
    again, other = bench.submit([1], tenant="gone"), bench.submit([1], tenant="other")
    assert [one.stream for one in bench.batch._turns] == [other, again]
