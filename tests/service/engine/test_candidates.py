"""The largest logits against a stable sort."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from service.candidates import largest

# Few different values, so that most of them tie.
LOGIT = st.sampled_from([-np.inf, -3.5, -1e-30, -0.0, 0.0, 1e-30, 2.25, 3e38]).map(np.float32)
LOGITS = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=LOGIT)


@given(LOGITS, st.data())
def test_largest_first_and_lowest_id_first_where_equal(logits, data):
    width = data.draw(st.integers(1, logits.shape[1]))
    values, ids = largest(logits, width)
    expected = np.argsort(-logits, axis=1, kind="stable")[:, :width]
    assert np.array_equal(ids, expected)
    assert np.array_equal(values, np.take_along_axis(logits, expected, axis=1))
