"""Markov chains and n-grams against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.models.context_table import ContextTable
from training.models.families import FAMILIES
from training.models.step_model import StepModel

# Tokens: 1 opens, 2 closes; "3 4 3 4 5".
TEXT = [[1, 3, 4, 3, 4, 5, 2], [1, 3, 3, 2], [1, 4, 3, 4, 4, 2]]
V = 6


def counted(family: str, sequences: list[list[int]] = TEXT, vocabulary_size: int = V, **config: int) -> StepModel:
    model = FAMILIES[family].build({"vocabulary_size": vocabulary_size, **config})
    model.count(sequences)
    return model


def predicted(model: StepModel, tokens: list[int]) -> np.ndarray:
    logits, _ = model(torch.tensor([tokens]), torch.tensor([len(tokens)]), model.initial_state(1))
    return logits[0, -1].double().exp().numpy()


def witten_bell(sequences: list[list[int]], context: tuple[int, ...], vocabulary_size: int = V) -> np.ndarray:
    """Witten-Bell by its definition, one context at a time."""
    if context == ():
        lower = np.full(vocabulary_size, 1 / vocabulary_size)
    else:
        lower = witten_bell(sequences, context[1:], vocabulary_size)
    counts = np.zeros(vocabulary_size)
    for sequence in sequences:
        padded = [0] * 8 + sequence
        for place in range(9, len(padded)):
            if tuple(padded[place - len(context) : place]) == context:
                counts[padded[place]] += 1
    distinct = np.count_nonzero(counts)
    return (counts + distinct * lower) / (counts.sum() + distinct) if distinct else lower


def test_markov_equals_counts_by_hand():
    following = [token for sequence in TEXT for token in sequence[1:]]
    unigram = np.array([(following.count(token) + 4 / V) / (len(following) + 4) for token in range(V)])
    # 3 is followed by 4, 4, 3, 2, 4: N = 5, T = 3.
    expected = (np.array([0, 0, 1, 1, 3, 0]) + 3 * unigram) / (5 + 3)
    np.testing.assert_allclose(predicted(counted("markov"), [1, 3]), expected, rtol=1e-6)


def test_markov_of_an_unseen_token_is_the_unigram():
    np.testing.assert_allclose(predicted(counted("markov"), [2]), witten_bell(TEXT, ()), rtol=1e-6)


@pytest.mark.parametrize("order", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "tokens", [[1], [1, 3], [1, 4, 3], [1, 3, 4, 3, 4], [1, 5, 5, 5, 5], [3, 4, 3, 4, 4, 4]], ids=str
)
def test_ngram_equals_its_definition_where_the_tables_have_room(order, tokens):
    model = counted("ngram", order=order, table_bits=6, successors=V)
    context = tuple(([0] * 8 + tokens)[-(order - 1) :])
    np.testing.assert_allclose(predicted(model, tokens), witten_bell(TEXT, context), rtol=1e-5)


def test_ngram_equals_its_definition_on_random_text():
    rng = np.random.default_rng(3)
    text = [[1, *rng.integers(2, 9, size=rng.integers(5, 60)).tolist(), 0] for _ in range(20)]
    model = counted("ngram", text, vocabulary_size=9, order=4, table_bits=12, successors=9)
    for _ in range(50):
        tokens = rng.integers(0, 9, size=5).tolist()
        np.testing.assert_allclose(predicted(model, tokens), witten_bell(text, tuple(tokens[-3:]), 9), rtol=1e-5)


@pytest.mark.parametrize("config", [{"successors": 1}, {"table_bits": 4}, {"successors": 2, "table_bits": 5}], ids=str)
def test_ngram_sums_to_one_whatever_does_not_fit(config):
    rng = np.random.default_rng(4)
    text = [[1, *rng.integers(2, 30, size=40).tolist(), 0] for _ in range(30)]
    model = counted("ngram", text, vocabulary_size=30, order=5, **config)
    for _ in range(20):
        tokens = text[rng.integers(30)][:6] if rng.random() < 0.5 else rng.integers(0, 30, 6).tolist()
        probabilities = predicted(model, tokens)
        assert probabilities.min() > 0
        np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-5)


def test_uncounted_models_are_uniform():
    for family in ("markov", "ngram"):
        model = FAMILIES[family].build({"vocabulary_size": V})
        np.testing.assert_allclose(predicted(model, [1, 3, 4]), np.full(V, 1 / V), rtol=1e-6)


def test_counting_again_forgets_what_was_counted_before():
    model = counted("ngram", [[1, 5, 5, 5, 5, 2]], order=4, table_bits=6)
    model.count(TEXT)
    fresh = counted("ngram", order=4, table_bits=6)
    for name, tensor in fresh.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_a_full_table_keeps_the_contexts_seen_most_often():
    table = ContextTable(bits=4, limit=1)
    keys = np.repeat(np.arange(100), np.where(np.arange(100) < 5, 50, 1))
    table.fill(keys, np.zeros_like(keys), vocabulary_size=2)
    kept = table.keys[table.keys >= 0]
    assert set(range(5)) <= set(kept.tolist())
    assert len(kept) == len(set(kept.tolist()))
    assert 12 <= len(kept) < 24
    assert table.keys[-1] == -1


def test_large_contexts_are_told_apart():
    """V^3 of order 4 with 4096 tokens is 2^36: far beyond the table, and keys that share a residue share a home."""
    rng = np.random.default_rng(5)
    text = [[1, *rng.integers(3, 4096, size=2000).tolist(), 2]]
    model = counted("ngram", text, vocabulary_size=4096, order=4, table_bits=13, successors=2)
    for place in (3, 500, 1990):
        probabilities = predicted(model, text[0][: place + 1])
        assert probabilities.argmax() == text[0][place + 1]
        assert probabilities.max() > 0.7


@pytest.mark.parametrize(
    ("sequences", "message"),
    [([], "nothing to count"), ([[1]], "nothing to count"), ([[1, 6]], "token 6"), ([[1, -1]], "token -1")],
)
def test_what_cannot_be_counted_is_refused(sequences, message):
    model = FAMILIES["ngram"].build({"vocabulary_size": V, "table_bits": 4})
    with pytest.raises(ValueError, match=message):
        model.count(sequences)
