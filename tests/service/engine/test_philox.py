"""Random numbers against the published vectors, and the promise that they are functions of their key alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.philox import Numbers, philox4x32, uniforms

# Random123 1.14, tests/kat_vectors, rows "philox4x32 10": counter, key, expected.
KNOWN = (
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
)
WORD = st.integers(0, 2**64 - 1)


def words(texts):
    return np.array([[int(word, 16) for word in text.split()] for text in texts], np.uint64).T


def test_known_answers():
    counters, keys, expected = zip(*KNOWN, strict=True)
    assert np.array_equal(philox4x32(words(counters), words(keys)), words(expected))


def test_numbers_are_uniform():
    count = 1 << 16
    numbers = uniforms(np.full(count, 7, np.uint64), np.zeros(count, np.uint64), np.arange(count))
    assert numbers.min() >= 0
    assert numbers.max() < 1
    cells = np.bincount((numbers * 64).astype(int), minlength=64)
    assert ((cells - count / 64) ** 2).sum() / (count / 64) < 110  # chi square, 63 degrees: p about 2e-4


@given(st.lists(st.tuples(WORD, st.integers(0, 2**40), st.integers(0, 2**40)), min_size=1, max_size=5, unique=True))
def test_a_number_depends_on_its_own_key_and_every_part_of_it(keys):
    together = uniforms(*(np.array(part, kind) for part, kind in zip(zip(*keys, strict=True), "QQq", strict=True)))
    for key, number in zip(keys, together, strict=True):
        alone = uniforms(*(np.array([part], kind) for part, kind in zip(key, "QQq", strict=True)))
        assert alone[0] == number
    assert len(set(together.tolist())) == len(keys)


@given(st.lists(st.lists(st.integers(0, 60), min_size=3, max_size=3), max_size=12))
def test_numbers_computed_ahead_are_the_same(asked):
    seeds, samples = np.array([1, 2, 2**63], np.uint64), np.array([0, 5, 9], np.uint64)
    numbers = Numbers(seeds, samples)
    for positions in map(np.array, asked):
        assert np.array_equal(numbers.at(positions), uniforms(seeds, samples, positions))
