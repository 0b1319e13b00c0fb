"""The arrays of decode steps: one set for every number of rows."""

import itertools

import numpy as np

from bundle.folder import open_bundle
from bundle.runner import Runner
from tests.exported import Bundles


def test_decode_steps_of_any_number_of_rows_take_the_memory_of_the_largest(bundles: Bundles):
    runner = Runner(open_bundle(bundles.path("gru")), threads=1)
    rows = runner.allocate(8)
    outputs = [runner.step(rows, 0, np.full((count, 1), 3), np.ones(count, np.int64)) for count in (1, 8, 3, 8, 1)]
    assert [len(output.logits) for output in outputs] == [1, 8, 3, 8, 1]
    for one, other in itertools.pairwise(outputs):
        assert np.shares_memory(one.logits, other.logits)
        assert np.shares_memory(one.top_indices, other.top_indices)


def test_what_a_prompt_returns_is_not_overwritten_by_decode_steps(bundles: Bundles):
    runner = Runner(open_bundle(bundles.path("gru")), threads=1)
    rows = runner.allocate(2)
    prompt = runner.step(rows, 1, np.full((1, 5), 3), np.array([5]))
    kept = prompt.logits.copy()
    runner.step(rows, 0, np.full((2, 1), 3), np.ones(2, np.int64))
    assert np.array_equal(prompt.logits, kept)
