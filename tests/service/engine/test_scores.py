"""Log-probabilities against float64, and their bits alone against in a crowd."""

import numpy as np
import pytest

from bundle.arrays import StepOutput
from service.candidates import largest
from service.scores import score, take
from tests.service.engine import reference


def output(logits, width=8):
    return StepOutput(logits, *largest(logits, min(width, logits.shape[1])))


def some_logits(count, vocabulary_size):
    random = np.random.default_rng(vocabulary_size)
    return (random.normal(size=(count, vocabulary_size)) * 4).astype(np.float32)


@pytest.mark.parametrize("vocabulary_size", [5, 300, 5000])
def test_scores_are_log_probabilities(vocabulary_size):
    logits = some_logits(9, vocabulary_size)
    tokens = np.arange(9) % vocabulary_size
    scores = score(output(logits), tokens, 3).list()
    for row, found in enumerate(scores):
        expected = np.log(reference.softmax(logits[row]))
        assert found.token_id == tokens[row]
        assert found.logprob == pytest.approx(expected[tokens[row]], abs=2e-5)
        assert [token for token, _ in found.alternatives] == np.argsort(-logits[row], kind="stable")[:3].tolist()
        assert [value for _, value in found.alternatives] == pytest.approx(sorted(expected)[:-4:-1], abs=2e-5)


@pytest.mark.parametrize("vocabulary_size", [5, 300, 5000])
def test_scores_alone_are_those_in_a_crowd_to_the_bit(vocabulary_size):
    together = output(some_logits(33, vocabulary_size))
    tokens = np.arange(33) % vocabulary_size
    scores = score(together, tokens, 5).list()
    for row in range(33):
        only = np.array([row])
        assert score(take(together, only), tokens[only], 5).list() == [scores[row]]


def test_a_certain_token_has_probability_one_at_most():
    logits = np.array([[50, 0, 0, 0]], np.float32)
    (found,) = score(output(logits), np.array([0]), 9).list()
    assert found.logprob == 0
    assert len(found.alternatives) == 4
