"""What a precision costs: the perplexity of a bundle on a text, every token fed as it is, as the server would run it.

Knows nothing about how a bundle was made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bundle.folder import Bundle
from export.play import Player, open_runner
from export.quantize.text import Row


def perplexity(bundle: Bundle, rows: Sequence[Row], threads: int = 0) -> float:
    """Return the exponential of the mean negative log-likelihood of the tokens that `rows` predict."""
    player = Player(open_runner(bundle, threads), 1)
    nats = sum(nats_of(player.whole(row.fed)[0], row.predicted) for row in rows)
    return math.exp(nats / sum(len(row.predicted) for row in rows))


def nats_of(logits: NDArray[np.float32], tokens: NDArray[np.int64]) -> float:
    """Return the negative log-likelihood of `tokens` [T] under `logits` [T, V], in nats, summed."""
    return float(-log_probabilities(logits)[np.arange(len(tokens)), tokens].sum(dtype=np.float64))


def log_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logarithms of the softmax of each row of `logits` [T, V]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    normalised: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalised
