"""The budget of prompt tokens beside running samples: what fits into the time asked for, and never nothing."""

import pytest

from service.budget import LEAST, Budget

MOST = 256


def measured(seconds, fixed, each, sizes, decode=0.010):
    """A budget that has seen steps over `sizes` prompt tokens on a machine of this speed."""
    budget = Budget(MOST, seconds)
    for size in sizes:
        budget.consumed(size, fixed + each * size)
        budget.decoded(decode)
    return budget


def test_without_a_limit_it_is_always_the_whole_chunk():
    assert measured(0.0, 0.01, 0.001, [10, 200]).tokens(running=8) == MOST


def test_nobody_waits_where_nobody_runs():
    assert measured(0.020, 0.01, 0.001, [10, 200]).tokens(running=0) == MOST


def test_before_the_first_measurement_it_is_the_whole_chunk():
    assert Budget(MOST, 0.020).tokens(running=1) == MOST


@pytest.mark.parametrize(("seconds", "expected"), [(0.050, 30), (0.100, 80), (0.150, 130), (1.0, MOST), (0.015, LEAST)])
def test_what_fits_beside_a_decode_step_is_allowed(seconds, expected):
    budget = measured(seconds, fixed=0.010, each=0.001, sizes=[10, 200, 50])
    assert abs(budget.tokens(running=1) - expected) <= 1


def test_steps_of_one_size_tell_no_fixed_part_and_the_next_sizes_do():
    budget = measured(0.060, fixed=0.010, each=0.001, sizes=[20] * 5)
    assert budget.tokens(1) == 33  # as if a token took 1.5 ms
    budget.consumed(33, 0.043)
    assert abs(budget.tokens(1) - 40) <= 1


def test_it_follows_a_machine_that_slows_down():
    budget = measured(0.100, fixed=0.010, each=0.001, sizes=[20, 100] * 5)
    assert abs(budget.tokens(1) - 80) <= 1
    for size in [20, 60] * 40:
        budget.consumed(size, 0.010 + 0.002 * size)
    assert abs(budget.tokens(1) - 40) <= 2


def test_steps_that_take_no_time_change_nothing():
    budget = measured(0.1, fixed=0.0, each=0.0, sizes=[5, 9])
    assert budget.tokens(1) == MOST
