"""Sparse tables against dictionaries."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.history import History, TokenTable

VOCABULARY, CAPACITY = 12, 4
TOKENS = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=9)
ROW = st.integers(0, CAPACITY - 1)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), ROW, TOKENS),
        st.tuples(st.just("move"), ROW, ROW),
        st.tuples(st.just("record"), st.lists(ROW, min_size=1, unique=True), TOKENS),
    ),
    max_size=20,
)


def listed(ids, values):
    return {token: value for token, value in zip(ids.tolist(), values.tolist(), strict=True) if token < VOCABULARY}


@given(CHANGES)
def test_a_history_counts_what_was_generated_and_knows_what_was_seen(changes):
    history = History(CAPACITY, VOCABULARY)
    expected = [{} for _ in range(CAPACITY)]
    for change, which, what in changes:
        if change == "begin":
            history.begin(which, what)
            expected[which] = dict.fromkeys(what, 0)
        elif change == "move":
            history.move(which, what)
            expected[what] = dict(expected[which])
        else:
            tokens = [what[place % len(what)] for place in range(len(which))]
            history.record(np.array(which), np.array(tokens))
            for row, token in zip(which, tokens, strict=True):
                expected[row][token] = expected[row].get(token, 0) + 1
    ids, times = history.of(np.arange(CAPACITY))
    assert [listed(*row) for row in zip(ids, times, strict=True)] == expected


def test_lists_grow_and_are_padded():
    table = TokenTable(3, VOCABULARY)
    table.set(0, [3], [1.5])
    table.set(2, [4, 5, 6], [1.0, 2.0, 3.0])
    ids, values = table.of(np.array([0, 1, 2]))
    assert ids.tolist() == [[3, 12, 12], [12, 12, 12], [4, 5, 6]]
    assert values[0, 0] == 1.5
    assert table.of(np.array([1]))[0].shape == (1, 0)
