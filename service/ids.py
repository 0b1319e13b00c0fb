"""Token ids by row, as many as each row needs. Knows nothing about what they mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ABSENT = -1


class IdTable:
    """A list of token ids for every row, padded with ABSENT to one width.

    ids: int64 [capacity, allocated].    counts: int64 [capacity], ids of each row.    width: of the longest in use.
    """

    def __init__(self, capacity: int) -> None:
        self.ids = np.full((capacity, 1), ABSENT, np.int64)
        self.counts = np.zeros(capacity, np.int64)
        self.width = 0

    def set(self, row: int, ids: Sequence[int]) -> None:
        """Make `ids` those of `row`."""
        if missing := max(0, len(ids) - self.ids.shape[1]):
            self.ids = np.pad(self.ids, ((0, 0), (0, missing)), constant_values=ABSENT)
        self.ids[row] = ABSENT
        self.ids[row, : len(ids)] = ids
        self.counts[row] = len(ids)

    def move(self, source: int, target: int) -> None:
        """Copy a row."""
        self.ids[target] = self.ids[source]
        self.counts[target] = self.counts[source]

    def settle(self, used: int) -> None:
        """Look at rows [0, used) alone from now on; to be called after every change."""
        self.width = int(self.counts[:used].max(initial=0))
        if used == 0:
            self.ids = self.ids[:, :1].copy()  # one long list is not kept for ever

    def contains(self, first: int, tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether tokens[i] is in the list of row first + i: [n]."""
        found: NDArray[np.bool_] = (self.ids[first : first + len(tokens), : self.width] == tokens[:, None]).any(axis=1)
        return found

    def at(self, first: int, positions: NDArray[np.int64], otherwise: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the id at positions[i] of the list of row first + i, or otherwise[i] behind its end: [n]."""
        rows = np.arange(first, first + len(positions))
        found = self.ids[rows, np.minimum(positions, self.ids.shape[1] - 1)]
        return np.where(positions < self.counts[first : first + len(positions)], found, otherwise)
