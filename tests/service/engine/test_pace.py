"""When those who are sent away should come back: after the work before them, and not all at once."""

import itertools

import pytest

from service.pace import LONGEST_SECONDS, SHORTEST_SECONDS, UNKNOWN_SECONDS, Pace


def paced(every, count=64, start=0.0):
    pace = Pace()
    for number in range(count):
        pace.record(start + every * number)
    return pace, start + every * (count - 1)


def test_nothing_is_known_before_some_have_ended():
    assert Pace().seconds_for(10, 0.0) == UNKNOWN_SECONDS
    assert not Pace().known
    assert paced(1.0)[0].known


def test_the_wait_is_that_of_so_many_endings():
    pace, now = paced(0.5)
    assert pace.seconds_for(10, now) == pytest.approx(5.0)


def test_time_without_work_does_not_count():
    pace, now = paced(0.5)
    pace.resume(now + 3600)
    assert pace.seconds_for(10, now + 3600) == pytest.approx(5.0)


def test_nobody_is_told_the_time_of_another_and_together_they_come_as_places_free():
    pace, now = paced(0.5)
    told = [pace.promise(40, now) for _ in range(20)]
    assert told[0] == pytest.approx(20.0), "when the queue is gone"
    gaps = [later - earlier for earlier, later in itertools.pairwise(told)]
    assert gaps == pytest.approx([0.5] * 19)


def test_promises_that_were_not_taken_up_are_forgotten_with_their_time():
    pace, now = paced(0.5)
    for _ in range(20):
        pace.promise(4, now)
    pace.resume(now + 100)
    assert pace.promise(4, now + 100) == pytest.approx(2.0)


def test_nobody_is_sent_away_for_longer_or_shorter_than_is_sensible():
    pace, now = paced(100.0)
    assert pace.promise(256, now) == LONGEST_SECONDS
    pace, now = paced(1e-6)
    assert pace.promise(1, now) == SHORTEST_SECONDS


@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 10])
def test_those_that_begin_and_end_together_make_the_pace_no_faster(rounds):
    pace = Pace()
    pace.resume(100.0)
    for number in range(rounds):
        for _ in range(16):
            pace.record(100.0 + 0.4 * (number + 1))
    assert pace.seconds_for(16, 100.0 + 0.4 * rounds) == pytest.approx(0.4)
