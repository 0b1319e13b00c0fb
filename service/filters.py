"""Which candidates may be drawn, and the draw: for all rows at once, each row by itself.

Candidates are weights [n, width]: exp((logit - largest logit) / temperature), so the likeliest weighs 1 and the
probability of one is its weight over the sum. A filter sets the weights of what it removes to zero, and sees only what
the filters before it left. All but min-p want the candidates sorted, likeliest first. Every sum runs along a row from
left to right, so a row's result does not depend on the rows beside it. Knows nothing about models or requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.candidates import largest

Column = NDArray[Any]  # [n, 1]: one number for every row
Weights = NDArray[np.float32]
Floats = NDArray[np.float64]
Columns = NDArray[np.int64]

BLOCK = 64
ALMOST_ONE = 1 - 2.0**-52


@dataclass(frozen=True, slots=True)
class Filters:
    """Each [n, 1], or None where no row uses it; a row that does not use one has a value that keeps everything.

    top_k: keep this many, the likeliest.
    top_p: keep the smallest set of likeliest candidates with this probability (Holtzman et al. 2020).
    min_p: keep candidates at least this fraction as probable as the likeliest (Nguyen et al. 2024).
    typical_p: keep the smallest set with this probability, of candidates whose information, -log p, is nearest to
        its expectation, the entropy (locally typical sampling, Meister et al. 2023).
    """

    top_k: Column | None = None
    top_p: Column | None = None
    min_p: Column | None = None
    typical_p: Column | None = None

    def apply(self, weights: Weights, mass: Floats | None = None) -> Weights:
        """Return `weights` [n, width] with zeros for what is removed.

        mass: [n, 1] sum of all weights, where the candidates are only the likeliest of them. Exact only for rows whose
        candidates hold the probability top_p, and without top_k.
        """
        if self.top_k is not None:
            weights = np.where(np.arange(weights.shape[1]) < self.top_k, weights, 0)
        if self.top_p is not None:
            weights = _nucleus(weights, self.top_p, mass)
        if self.min_p is not None:
            weights = np.where(weights >= self.min_p, weights, 0)
        if self.typical_p is not None:
            rows = np.flatnonzero(np.isfinite(self.typical_p))
            weights = weights.copy()
            weights[rows] = _typical(weights[rows], self.typical_p[rows])
        return weights

    def take(self, rows: NDArray[np.int64]) -> Filters:
        """Return the filters of some rows."""
        columns = (self.top_k, self.top_p, self.min_p, self.typical_p)
        return Filters(*(None if column is None else column[rows] for column in columns))


def draw(weights: Weights, numbers: Floats) -> Columns:
    """Return the column [n] that each row's number in [0, 1) falls on: the inverse of the cumulative distribution."""
    if weights.shape[1] <= 2 * BLOCK:
        return _invert(cumulative_sums(weights), numbers)[0]
    # Adding up is serial: many sums of blocks, and then of the one block, take a tenth of the time of one long sum.
    count, width = weights.shape
    blocks = np.zeros((count, -(-width // BLOCK), BLOCK), np.float32)
    blocks.reshape(count, -1)[:, :width] = weights
    block, rest = _invert(cumulative_sums(blocks.sum(axis=2)), numbers)
    return block * BLOCK + _invert(cumulative_sums(blocks[np.arange(count), block]), rest)[0]


def cumulative_sums(weights: Weights) -> Floats:
    """Return the float64 sums [n, width] of `weights` from the left."""
    return np.cumsum(weights.astype(np.float64), axis=1)


def _invert(cumulative: Floats, numbers: Floats) -> tuple[Columns, Floats]:
    """Return the column that each number falls on, and how far through the column's weight, in [0, 1): both [n]."""
    wanted = numbers[:, None] * cumulative[:, -1:]
    columns = (cumulative > wanted).argmax(axis=1)
    rows = np.arange(len(columns))
    before = np.where(columns > 0, cumulative[rows, columns - 1], 0)
    rest = (wanted[:, 0] - before) / (cumulative[rows, columns] - before)
    return columns, np.minimum(rest, ALMOST_ONE)


def _nucleus(weights: Weights, top_p: Column, mass: Floats | None) -> Weights:
    cumulative = cumulative_sums(weights)
    wanted = top_p * (cumulative[:, -1:] if mass is None else mass)
    kept = np.ones(weights.shape, np.bool_)  # the likeliest always, the next while those before do not reach top_p
    np.less(cumulative[:, :-1], wanted, out=kept[:, 1:])
    return np.where(kept, weights, 0)


def _typical(weights: Weights, typical_p: Column) -> Weights:
    total = cumulative_sums(weights)[:, -1:]
    probabilities = weights / total
    present = probabilities > 0
    information = -np.log(probabilities, where=present, out=np.zeros_like(probabilities))
    entropy = np.cumsum(probabilities * information, axis=1)[:, -1:]
    distance = np.where(present, np.abs(information - entropy), np.inf)
    order = largest(-distance.astype(np.float32), weights.shape[1])[1]
    cumulative = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
    kept = np.ones(weights.shape, np.bool_)
    np.less(cumulative[:, :-1], typical_p, out=kept[:, 1:])
    chosen = np.empty_like(kept)
    np.put_along_axis(chosen, order, kept, axis=1)
    return np.where(chosen, weights, 0)
