"""Numbers for some of the vocabulary, by row: far fewer than a number for every token. Knows nothing about sampling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]


class TokenTable:
    """For every row a list of different token ids, and a number for each. Lists are padded with the vocabulary size.

    ids: int64 [capacity, allocated].    values: float32 [capacity, allocated].    sizes: int64 [capacity].
    """

    def __init__(self, capacity: int, vocabulary_size: int) -> None:
        self._absent = vocabulary_size
        self.ids = np.full((capacity, 1), vocabulary_size, np.int64)
        self.values = np.zeros((capacity, 1), np.float32)
        self.sizes = np.zeros(capacity, np.int64)

    def set(self, row: int, ids: Sequence[int] | Ids, values: Sequence[float] | float) -> None:
        """Make these the list of `row`."""
        size = len(ids)
        self.widen(size)
        self.ids[row] = self._absent
        self.ids[row, :size], self.values[row, :size], self.sizes[row] = ids, values, size

    def move(self, source: int, target: int) -> None:
        """Copy a row."""
        for array in (self.ids, self.values, self.sizes):
            array[target] = array[source]

    def of(self, rows: Ids) -> tuple[Ids, Floats]:
        """Return the ids and values of `rows` [n], both [n, longest list]."""
        longest = self.sizes[rows].max(initial=0)
        return self.ids[rows, :longest], self.values[rows, :longest]

    def widen(self, size: int) -> None:
        """Make room for lists of `size`."""
        if (allocated := self.ids.shape[1]) < size:
            more = ((0, 0), (0, max(size, 2 * allocated) - allocated))
            self.ids = np.pad(self.ids, more, constant_values=self._absent)
            self.values = np.pad(self.values, more)


class History:
    """The tokens that a row has seen, in the prompt or the sample, and how often each is in the sample."""

    def __init__(self, capacity: int, vocabulary_size: int) -> None:
        self._table = TokenTable(capacity, vocabulary_size)
        self._places = np.zeros((capacity, vocabulary_size), np.int32)  # in the row's list, plus one; 0: not in it

    def begin(self, row: int, prompt: Sequence[int]) -> None:
        """Let `row` have seen `prompt` alone."""
        seen = np.unique(prompt)
        self._table.set(row, seen, 0.0)
        self._places[row] = 0
        self._places[row, seen] = np.arange(1, len(seen) + 1)

    def move(self, source: int, target: int) -> None:
        """Copy a row."""
        self._table.move(source, target)
        self._places[target] = self._places[source]

    def record(self, rows: Ids, tokens: Ids) -> None:
        """Append tokens [n] to the samples of `rows` [n]."""
        table = self._table
        places = self._places[rows, tokens] - 1
        if (fresh := np.flatnonzero(places < 0)).size:
            new_rows, new_tokens = rows[fresh], tokens[fresh]
            places[fresh] = table.sizes[new_rows]
            table.widen(int(places.max()) + 1)
            table.ids[new_rows, places[fresh]], table.values[new_rows, places[fresh]] = new_tokens, 0
            table.sizes[new_rows] += 1
            self._places[new_rows, new_tokens] = places[fresh] + 1
        table.values[rows, places] += 1

    def of(self, rows: Ids) -> tuple[Ids, Floats]:
        """Return the tokens that `rows` [n] have seen and how often each was generated, both [n, most]."""
        return self._table.of(rows)
