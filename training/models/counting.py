"""Models that are fitted by counting: what they add to a step model, and n-grams as arrays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from training.models.step_model import StepModel

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class CountingModel(StepModel):
    """A step model without gradients. Its tables have the sizes its config says, so a state dict always fits."""

    @abstractmethod
    def count(self, sequences: Iterable[Sequence[int]]) -> None:
        """Fit the model, anew, to whole sequences of token ids, each with its first (never predicted) token.

        Raises ValueError if a token is outside of the vocabulary or nothing is to be counted.
        """


def contexts(sequences: Iterable[Sequence[int]], order: int, vocabulary_size: int) -> tuple[list[Integers], Integers]:
    """Return what stands before each token but the first of every sequence, and that token.

    The first value holds, for m = 1 … order - 1, the last m tokens as one number, sum of token · V^age; before a
    sequence stand zeros, as in the state of a model that has seen nothing.
    """
    history = order - 1
    arrays = [np.asarray(sequence, dtype=np.int64) for sequence in sequences]
    arrays = [array for array in arrays if len(array) > 1]
    if not arrays:
        raise ValueError("nothing to count: every sequence is shorter than two tokens")
    tokens = np.concatenate([part for array in arrays for part in (np.zeros(history, np.int64), array)])
    if tokens.min() < 0 or tokens.max() >= vocabulary_size:
        outside = int(tokens.min() if tokens.min() < 0 else tokens.max())
        raise ValueError(f"token {outside} is outside of the vocabulary ({vocabulary_size})")
    starts = np.cumsum([0] + [history + len(array) for array in arrays[:-1]])
    predicted = np.ones(len(tokens), dtype=bool)
    for offset in range(history + 1):  # the padding and the first token
        predicted[starts + offset] = False
    places = np.flatnonzero(predicted)
    keys = [tokens[places - 1]]
    for age in range(1, history):
        keys.append(keys[-1] + tokens[places - 1 - age] * vocabulary_size**age)
    return keys, tokens[places]


def bigram_counts(previous: Integers, following: Integers, vocabulary_size: int) -> Floats:
    """Return how often each token [V] follows each [V], as a table [V, V]."""
    pairs = previous * vocabulary_size + following
    table = np.bincount(pairs, minlength=vocabulary_size**2).reshape(vocabulary_size, vocabulary_size)
    return table.astype(np.float64)


def witten_bell_bigram(counts: Floats) -> Floats:
    """Smooth a table of counts [V, V] to probabilities of the next token given the last.

    Interpolated Witten-Bell smoothing (Witten and Bell 1991; Chen and Goodman 1998, section 2.4): a context seen N
    times with T distinct successors gives T / (N + T) of its mass to the lower order, here the unigram, whose own
    lower order is the uniform distribution.
    """
    unigram = _witten_bell(counts.sum(axis=0), np.full(counts.shape[1], 1 / counts.shape[1]))
    return _witten_bell(counts, unigram)


def _witten_bell(counts: Floats, lower: Floats) -> Floats:
    total = counts.sum(axis=-1, keepdims=True)
    distinct = (counts > 0).sum(axis=-1, keepdims=True)
    seen = total > 0
    smoothed: Floats = np.where(seen, (counts + distinct * lower) / np.where(seen, total + distinct, 1), lower)
    return smoothed
