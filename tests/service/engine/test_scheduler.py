"""Which prompts are consumed when: the oldest first and who is like it, never more than a chunk, nothing lost."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundle.manifest import Calls
from service.inbox import Inbox
from service.request import GenerationRequest, StopConditions
from service.scheduler import Scheduler
from service.sequence import Sequence
from service.stream import Stream
from service.turns import Turns

CHUNK = 16
REQUEST = st.tuples(st.integers(1, 50), st.integers(1, 4), st.sampled_from([0, 0, 0, 5, 30]))


def sequence(prompt=1, samples=1, source=0, deadline=None, name="r"):
    request = GenerationRequest(
        name,
        (1,) * prompt,
        StopConditions(5),
        source=(1,) * source or None,
        samples=samples,
        deadline=deadline,
    )
    return Sequence(Stream(request, Inbox(), lambda: 0.0), 0.0)


def scheduling(calls, chunk_tokens):
    return Scheduler(calls, chunk_tokens, Turns(dict))


def planned(scheduler, free, budget=None):
    """Plan a step and consume it, as the batch does."""
    pieces = scheduler.plan(free, budget)
    for piece in pieces:
        assert piece.start == piece.sequence.consumed
        piece.sequence.consumed += piece.length
    return pieces


def check_step(pieces, chunk, budget):
    lengths = [piece.length for piece in pieces]
    sources = sum(len(piece.sequence.request.source or ()) for piece in pieces)
    assert len(pieces) * max(lengths) <= budget
    assert len(pieces) == 1 or len(pieces) * max(lengths) + sources <= budget
    assert len(pieces) == 1 or all(piece.completes for piece in pieces)
    behind = [piece for piece in pieces if piece.start > 0]
    assert all(piece.length >= 2 for piece in behind), "one token would go the way of a decode step"
    assert len(behind) <= 1
    assert not behind or behind == pieces[:1]
    assert chunk == "batch" or not behind or len(pieces) == 1


@given(st.integers(1, 200), st.integers(3, 200), st.sampled_from([8, 16, 64]))
def test_no_piece_is_one_more_than_a_multiple_of_the_block(length, chunk_tokens, block):
    calls = Calls(chunk="single", block=block)
    scheduler = scheduling(calls, chunk_tokens)
    one = sequence(length)
    scheduler.add(one)
    widths = []
    while not scheduler.idle:
        (piece,) = planned(scheduler, 8)
        widths.append(piece.length)
    assert sum(widths) == length and all(map(calls.allow, widths)) and 1 not in widths[1:]


@given(st.lists(REQUEST, max_size=20), st.sampled_from(["batch", "single"]), st.integers(4, 8), st.randoms())
def test_whoever_starts_does_so_with_the_oldest_and_takes_nobodys_row(requests, chunk, rows, random):
    scheduler = scheduling(Calls(chunk=chunk), CHUNK)
    everything = [sequence(*request) for request in requests]
    arrivals, running, queue, finished = iter(everything), 0, [], []
    while len(finished) < len(everything):
        for one in itertools.islice(arrivals, random.randint(0, 3)):
            scheduler.add(one)
            queue.append(one)
        running = random.randint(0, running)  # some samples end
        budget = random.randint(3, CHUNK)
        free = rows - running - scheduler.reserved
        pieces = planned(scheduler, rows - running, budget)
        started = [piece.sequence for piece in pieces if piece.start == 0]
        if pieces:
            check_step(pieces, chunk, budget)
        if started:
            assert started[0] is queue[0], "the oldest is never passed"
            passed = queue[: 1 + queue.index(started[-1])]
            assert sum(one.request.samples for one in passed) <= free, "those who are passed keep their rows"
            assert started == [one for one in queue if one in started], "among themselves in the order of arrival"
        queue = [one for one in queue if one not in started]
        finished += [piece.sequence for piece in pieces if piece.completes]
        running += sum(piece.sequence.request.samples for piece in pieces if piece.completes)
        assert running + scheduler.reserved <= rows
        assert scheduler.departed == len(finished) + len(scheduler.begun)
    assert len(set(map(id, finished))) == len(finished)
    assert all(one.consumed == len(one.request.prompt) for one in everything)
    assert scheduler.idle


@pytest.mark.parametrize(
    ("length", "expected"),
    [(1, [1]), (16, [16]), (17, [15, 2]), (18, [16, 2]), (32, [16, 16]), (33, [16, 15, 2]), (34, [16, 16, 2])],
)
def test_no_chunk_behind_a_past_is_a_single_token(length, expected):
    scheduler = scheduling(Calls(chunk="single"), CHUNK)
    scheduler.add(sequence(length))
    assert [planned(scheduler, 1)[0].length for _ in expected] == expected
    assert scheduler.idle


def test_waiting_short_prompts_share_a_step():
    scheduler = scheduling(Calls(chunk="single"), CHUNK)
    for length in (4, 2, 3, 4, 1):
        scheduler.add(sequence(length))
    assert [piece.length for piece in planned(scheduler, 9)] == [4, 2, 3, 4]
    assert [piece.length for piece in planned(scheduler, 9)] == [1]


def test_prompts_of_one_length_share_a_step_and_those_between_wait_for_the_next():
    scheduler = scheduling(Calls(chunk="single"), 256)
    for length in (100, 10, 90, 11, 12):
        scheduler.add(sequence(length))
    assert [piece.length for piece in planned(scheduler, 9)] == [100, 90]
    assert [piece.length for piece in planned(scheduler, 9)] == [10, 11, 12]


def test_a_long_prompt_between_short_ones_costs_no_padding_and_is_next():
    scheduler = scheduling(Calls(chunk="single"), 256)
    for length in (40, 200, 40, 40, 40, 40, 40, 40):
        scheduler.add(sequence(length))
    assert [piece.length for piece in planned(scheduler, 9)] == [40] * 6, "six of forty fill the budget"
    assert [piece.length for piece in planned(scheduler, 9)] == [200]
    assert [piece.length for piece in planned(scheduler, 9)] == [40]


def test_nobody_takes_the_row_of_a_request_that_is_passed():
    scheduler = scheduling(Calls(chunk="single"), 256)
    for length in (40, 200, 40):
        scheduler.add(sequence(length))
    assert [piece.length for piece in planned(scheduler, 2)] == [40], "the second row is for the second request"
    assert [piece.length for piece in planned(scheduler, 1)] == [200]


def test_a_smaller_budget_cuts_pieces_and_none_is_a_single_token():
    scheduler = scheduling(Calls(chunk="single"), CHUNK)
    scheduler.add(sequence(14))
    assert [planned(scheduler, 1, budget)[0].length for budget in (3, 5, 3, 3)] == [3, 5, 3, 3]
    scheduler.add(sequence(7))
    assert [planned(scheduler, 1, 3)[0].length for _ in range(3)] == [3, 2, 2]
    assert scheduler.idle


@pytest.mark.parametrize(("chunk", "expected"), [("batch", [4, 3]), ("single", [4])])
def test_the_rest_of_a_long_prompt_shares_its_step_where_the_graph_allows_it(chunk, expected):
    scheduler = scheduling(Calls(chunk=chunk), CHUNK)
    for length in (20, 3):
        scheduler.add(sequence(length))
    assert [piece.length for piece in planned(scheduler, 9)] == [16]
    assert [piece.length for piece in planned(scheduler, 9)] == expected


def test_a_request_waits_until_there_are_rows_for_all_its_samples_and_nobody_passes():
    scheduler = scheduling(Calls(chunk="batch"), CHUNK)
    scheduler.add(sequence(samples=3))
    scheduler.add(sequence())
    assert planned(scheduler, 2) == []
    assert len(planned(scheduler, 3)) == 1
    assert len(planned(scheduler, 1)) == 1


def test_rows_are_kept_for_the_samples_of_a_long_prompt():
    scheduler = scheduling(Calls(chunk="batch"), CHUNK)
    scheduler.add(sequence(20, samples=3))
    scheduler.add(sequence(1))
    assert len(planned(scheduler, 3)) == 1
    assert scheduler.reserved == 3
    assert [piece.length for piece in planned(scheduler, 3)] == [4], "there is no row for the other"


def test_deadlines_end_what_waits_and_what_is_prefilled():
    scheduler = scheduling(Calls(chunk="batch"), CHUNK)
    long, soon, late = sequence(40, deadline=2.0), sequence(deadline=1.0), sequence()
    for one in (long, soon, late):
        scheduler.add(one)
    planned(scheduler, 1)
    assert scheduler.expire(0.5) == []
    assert scheduler.expire(1.0) == [soon]
    assert scheduler.expire(2.0) == [long]
    assert scheduler.reserved == 0
    assert planned(scheduler, 1)[0].sequence is late


def test_withdrawn_samples_and_requests_are_forgotten():
    scheduler = scheduling(Calls(chunk="batch"), CHUNK)
    first, second = sequence(samples=2), sequence(samples=2)
    for one in (first, second):
        scheduler.add(one)
    scheduler.withdraw(first.stream, first.stream.outlets)
    scheduler.withdraw(second.stream, second.stream.outlets[:1])
    (piece,) = planned(scheduler, 1)
    assert piece.sequence is second
    assert second.live == [second.stream.outlets[1]]
    assert scheduler.departed == 2
