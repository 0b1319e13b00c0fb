"""Every filter against its definition, and the bits of a row alone against those of the same row in a crowd."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from service.filters import BLOCK, Filters, cumulative_sums, draw
from tests.service.engine import reference

COUNT, WIDTH = 6, 23
OFF = np.inf
LOGITS = arrays(np.float32, (COUNT, WIDTH), elements=st.integers(-800, 0).map(lambda value: np.float32(value / 100)))


def sorted_weights(logits):
    logits = np.sort(logits, axis=1)[:, ::-1]
    return np.exp(logits - logits[:, :1])


def column(*values):
    return np.array(values, np.float64)[:, None]


def probabilities(weights):
    return weights / cumulative_sums(weights)[:, -1:]


def same_distribution(found, expected):
    # A sum that meets its bound exactly is settled by the last bit: then one more or one less may be kept.
    return np.abs(found - expected).max() < 1e-6 or abs(int((found > 0).sum()) - int((expected > 0).sum())) == 1


@given(LOGITS, st.lists(st.integers(1, WIDTH), min_size=COUNT, max_size=COUNT))
def test_top_k_keeps_the_k_likeliest(logits, counts):
    weights = sorted_weights(logits)
    filtered = Filters(top_k=column(*counts)).apply(weights)
    for row, count in enumerate(counts):
        assert np.array_equal(filtered[row, :count], weights[row, :count])
        assert not filtered[row, count:].any()


@pytest.mark.parametrize(
    ("name", "definition"), [("top_p", reference.top_p), ("min_p", reference.min_p), ("typical_p", reference.typical_p)]
)
@given(logits=LOGITS, bounds=st.lists(st.floats(0.01, 0.99), min_size=COUNT, max_size=COUNT))
def test_a_filter_keeps_what_its_definition_keeps(name, definition, logits, bounds):
    weights = sorted_weights(logits)
    filtered = probabilities(Filters(**{name: column(*bounds)}).apply(weights))
    for row, bound in enumerate(bounds):
        expected = definition(reference.softmax(np.log(weights[row].astype(np.float64))), bound)
        assert same_distribution(filtered[row], expected)


@given(LOGITS, st.lists(st.floats(0.01, 0.99), min_size=COUNT, max_size=COUNT))
def test_the_nucleus_is_found_among_the_likeliest_where_they_hold_it(logits, bounds):
    weights = sorted_weights(logits)
    whole = Filters(top_p=column(*bounds)).apply(weights)
    width = 9
    part = Filters(top_p=column(*bounds)).apply(weights[:, :width].copy(), cumulative_sums(weights)[:, -1:])
    for row in range(COUNT):
        if not whole[row, width:].any():
            assert np.array_equal(whole[row, :width], part[row])


@st.composite
def filter_values(draw_value):
    """Parameters of a row, each often switched off."""
    top_k = draw_value(st.integers(1, WIDTH))
    bounds = [draw_value(st.one_of(st.just(OFF), st.floats(0.05, 0.99))) for _ in range(2)]
    return top_k, bounds[0], draw_value(st.one_of(st.just(0.0), st.floats(0.01, 0.9))), bounds[1]


@given(LOGITS, st.lists(filter_values(), min_size=COUNT, max_size=COUNT), st.randoms(use_true_random=False))
def test_a_row_alone_is_the_row_in_a_crowd_to_the_bit(logits, values, random):
    weights = sorted_weights(logits)
    together = Filters(*(column(*part) for part in zip(*values, strict=True))).apply(weights)
    numbers = np.array([random.random() for _ in range(COUNT)])
    columns = draw(together, numbers)
    for row, (top_k, top_p, min_p, typical_p) in enumerate(values):
        alone = Filters(
            column(top_k) if top_k < WIDTH else None,
            column(top_p) if top_p < OFF else None,
            column(min_p) if min_p else None,
            column(typical_p) if typical_p < OFF else None,
        ).apply(weights[row : row + 1].copy())
        assert alone.tobytes() == together[row].tobytes()
        assert draw(alone, numbers[row : row + 1])[0] == columns[row]


@pytest.mark.parametrize("width", [1, 7, 2 * BLOCK, 2 * BLOCK + 1, 1000])
def test_a_draw_inverts_the_cumulative_distribution(width):
    random = np.random.default_rng(width)
    weights = (random.random((50, width)) * (random.random((50, width)) < 0.6)).astype(np.float32)
    weights[:, width // 2] = 1
    numbers = np.concatenate((random.random(47), [0, 1 - 2.0**-52, 0.5]))
    columns = draw(weights, numbers)
    shares = np.cumsum(weights.astype(np.float64), axis=1)
    shares /= shares[:, -1:]
    for row, found in enumerate(columns.tolist()):
        assert weights[row, found] > 0
        assert (shares[row, found - 1] if found else 0) - 1e-6 <= numbers[row] <= shares[row, found] + 1e-6


@pytest.mark.parametrize("width", [40, 1000])
def test_a_draw_alone_is_the_draw_in_a_crowd(width):
    random = np.random.default_rng(width)
    weights, numbers = random.random((33, width)).astype(np.float32), random.random(33)
    together = draw(weights, numbers)
    for row in range(33):
        assert draw(weights[row : row + 1].copy(), numbers[row : row + 1])[0] == together[row]
