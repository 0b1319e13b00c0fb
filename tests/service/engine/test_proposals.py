"""What is proposed, how much of it, and what that is decided by: pure functions of tokens and seconds."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.acceptance import Acceptance
from service.bets import Bet, lengths
from service.costs import Costs
from service.lookup import LONGEST_INDEXED, SHORTEST, Lookup

TOKENS = st.lists(st.integers(0, 3), max_size=60)
# Of SmolLM2 in fp32 here: a step over 1 row takes 20 ms, over 32 rows 115; one over 17 tokens of a row 37.
DECODING = np.interp(np.arange(33), [0, 1, 4, 8, 16, 32], [0, 0.020, 0.029, 0.043, 0.066, 0.115])
VERIFYING = np.interp(np.arange(1, 18), [1, 17], [0.020, 0.037])


def longest_match(tokens):
    """How many of the last tokens stood before, at most."""
    return max(
        (n for n in range(1, len(tokens)) for end in range(n, len(tokens)) if tokens[end - n : end] == tokens[-n:]),
        default=0,
    )


@given(tokens=TOKENS)
def test_a_lookup_proposes_what_followed_an_earlier_occurrence_of_the_end(tokens):
    lookup = Lookup(tokens)
    matched = lookup.matched
    assert (matched > 0) == (longest_match(tokens) >= SHORTEST)
    if not matched:
        assert lookup.propose(5) == []
        return
    assert matched >= min(longest_match(tokens), LONGEST_INDEXED)
    proposal = lookup.propose(5)
    assert proposal[0] == lookup.expected
    assert len(proposal) == 5
    grown = [*tokens, *proposal]
    ends = [end for end in range(matched, len(tokens)) if tokens[end - matched : end] == tokens[-matched:]]
    assert any(grown[end : end + 5] == proposal for end in ends)


def test_a_match_that_goes_on_is_followed_rather_than_a_newer_short_one():
    text = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    lookup = Lookup([*text, 0, 5, 6, 7, 99, 0, 1, 2, 3, 4, 5, 6, 7])
    assert lookup.matched == 7
    assert lookup.propose(2) == [8, 9]


def test_a_loop_is_proposed_again_and_again():
    assert Lookup([7, 8, 9, 7, 8, 9]).propose(7) == [7, 8, 9, 7, 8, 9, 7]


def test_gains_are_those_of_tokens_taken_until_the_first_wrong_one():
    acceptance = Acceptance()
    for turn in range(4000):
        acceptance.note(0, turn % 2 == 0)
        acceptance.note(1, True)
    assert acceptance.chance(1) > 0.85
    assert acceptance.chance(0) == pytest.approx(0.5, abs=0.1)
    gains = acceptance.gains([1, 0, 0])
    first, second = acceptance.chance(1), acceptance.chance(0)
    assert gains.tolist() == pytest.approx(
        [0, first, first + first * second, first + first * second + first * second**2]
    )


def test_a_new_sample_begins_with_the_chances_of_others():
    others = Acceptance()
    for _ in range(50):
        Acceptance(others).note(0, False)
    assert Acceptance(others).chance(0) < 0.15
    own = Acceptance(others)
    for _ in range(10):
        own.note(0, True)
    assert own.chance(0) > 0.7


def bet(chance, most=16, verifying=VERIFYING, proposing=0.0):
    gains = np.concatenate(([0.0], np.cumsum(chance ** np.arange(1, most + 1))))
    return Bet(gains, verifying[: most + 1] + proposing * np.arange(most + 1))


@pytest.mark.parametrize(("chance", "low", "high"), [(0.99, 16, 16), (0.7, 3, 9), (0.05, 0, 0)])
def test_the_surer_the_longer(chance, low, high):
    (length,) = lengths([bet(chance)], DECODING[:2])
    assert low <= length <= high


@given(chance=st.floats(0, 1), slope=st.floats(0, 0.02), proposing=st.floats(0, 0.02), most=st.integers(1, 16))
def test_of_one_row_it_is_the_length_with_the_most_tokens_a_second(chance, slope, proposing, most):
    one = bet(chance, most, 0.020 + slope * np.arange(17), proposing)
    (length,) = lengths([one], DECODING[:2])
    speeds = (1 + one.gains) / one.seconds
    best = max(range(most + 1), key=lambda count: speeds[count])
    assert speeds[length] >= max(speeds[best], 1 / DECODING[1]) / 1.06


def test_no_draft_is_worth_it_beside_many_rows_and_some_are_beside_few():
    assert lengths([bet(0.6)] * 8, DECODING) == [0] * 8
    assert all(lengths([bet(0.95)] * 2, DECODING[:3]))


def test_a_slow_drafter_is_not_asked():
    assert lengths([bet(0.6, proposing=0.02)], DECODING[:2]) == [0]
    assert lengths([bet(0.6, proposing=0.0005)], DECODING[:2]) != [0]


def test_costs_are_read_off_between_what_was_measured():
    costs = Costs(17)
    assert not costs.known
    costs.decoded(1, 0.020)
    assert costs.known
    costs.decoded(9, 0.036)
    assert costs.decoding(9)[[0, 1, 5, 9]].tolist() == pytest.approx([0, 0.020, 0.028, 0.036])
    assert costs.verifying().tolist() == pytest.approx([0.020] * 17)  # never tried: taken as cheap
    costs.verified(17, 0.052)
    assert costs.verifying()[[0, 8, 16]].tolist() == pytest.approx([0.020, 0.036, 0.052])
    costs.proposed("gru", 4, 0.004)
    assert costs.proposing("gru")[[0, 2, 4]].tolist() == pytest.approx([0, 0.002, 0.004])
    assert not costs.proposing(None).any()


def test_verifying_keeps_up_with_decoding_when_the_machine_gets_busy():
    costs = Costs(17)
    costs.decoded(1, 0.020)
    costs.verified(17, 0.040)
    for _ in range(40):
        costs.decoded(1, 0.060)
    assert costs.verifying()[[0, 16]].tolist() == pytest.approx([0.060, 0.120], rel=0.01)


def test_costs_follow_the_last_steps_and_forgive_one_slow_one():
    costs, dice = Costs(17), random.Random(1)
    for _ in range(30):
        costs.decoded(1, 0.020 * dice.uniform(0.9, 1.1))
    costs.decoded(1, 5.0)
    assert costs.decoding(1)[1] < 0.03
    for _ in range(30):
        costs.decoded(1, 0.040)
    assert costs.decoding(1)[1] == pytest.approx(0.040, rel=0.05)
