"""What the parity gate feeds to a model: ragged rows of random tokens, and the sizes that it tries.

Knows the limits of a model from its manifest, and nothing about how it is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Manifest

Ids = NDArray[np.int64]

BATCHES = (1, 2, 3, 5)
# One more than a power of two: kernels work in blocks, and what is left over may take another path.
LENGTHS = (1, 2, 3, 7, 9, 17, 33, 65, 129, 257)
# Longest sequence tried where the state never fills, whatever length the model was trained on.
LONGEST = 1024
# Most logits held at once: larger grids are left out.
LOGITS_LIMIT = 2**26


@dataclass(frozen=True, slots=True)
class Sequences:
    """Rows of token ids of different lengths, with one source each where the model has a start graph."""

    tokens: tuple[Ids, ...]
    sources: tuple[Ids, ...] | None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def longest(self) -> int:
        return max(len(row) for row in self.tokens)

    def row(self, index: int) -> Sequences:
        """Return row `index` as the only one."""
        sources = None if self.sources is None else (self.sources[index],)
        return Sequences((self.tokens[index],), sources)

    def __str__(self) -> str:
        """The shape, for reports: batch x longest length, and the longest source."""
        shape = f"{len(self)}x{self.longest}"
        return shape if self.sources is None else f"{shape}<-{max(len(source) for source in self.sources)}"


class Maker:
    """Makes sequences within the limits of a model, always the same ones for the same manifest."""

    def __init__(self, manifest: Manifest, trained_length: int) -> None:
        """Make sequences for one model.

        trained_length: tokens that the model saw at once in training; the gate goes beyond it where it can.
        """
        self._manifest = manifest
        self._random = np.random.default_rng(2)
        self.rewinds = manifest.rewinds
        self.limit = manifest.context_limit or LONGEST
        self.longest = min(self.limit, LONGEST, max(128, 2 * trained_length))
        self.lengths = sorted({min(length, self.longest) for length in (*LENGTHS, self.longest)})

    def grid(self) -> list[Sequences]:
        """Return one ragged batch for every batch size and length."""
        width = self._manifest.vocabulary_size
        return [
            self.ragged(batch, length)
            for length in self.lengths
            for batch in BATCHES
            if batch == 1 or batch * length * width <= LOGITS_LIMIT
        ]

    def ragged(self, batch: int, longest: int) -> Sequences:
        """Return `batch` rows: the first `longest` tokens long, the others shorter, odd lengths preferred."""
        odd = [length for length in self.lengths if length <= longest]
        every = [odd, range(1, longest + 1)]
        lengths = [longest, *(int(self._random.choice(every[row % 2])) for row in range(batch - 1))]
        return self.of_lengths(lengths)

    def one_of_each(self) -> Sequences:
        """Return one row of every length, as many of the lengths as may be held at once."""
        room = LOGITS_LIMIT // (len(self.lengths) * self._manifest.vocabulary_size)
        return self.of_lengths([length for length in reversed(self.lengths) if length <= max(room, 2)])

    def of_lengths(self, lengths: Sequence[int]) -> Sequences:
        """Return rows of exactly these lengths, with ragged sources where the model takes them."""
        tokens = tuple(self.tokens(length) for length in lengths)
        limit, width = self._manifest.source_limit, self._manifest.source_vocabulary_size
        if limit is None or width is None:
            return Sequences(tokens, None)
        # The extremes first, then anything in between.
        fixed = [limit, 1, min(2, limit)]
        drawn = [int(self._random.integers(1, limit + 1)) for _ in lengths]
        sources = (fixed + drawn)[: len(lengths)]
        return Sequences(tokens, tuple(self._random.integers(0, width, length) for length in sources))

    def tokens(self, length: int) -> Ids:
        """Return `length` random token ids."""
        return self._random.integers(0, self._manifest.vocabulary_size, length)


def cut(length: int, sizes: Sequence[int], single: bool) -> list[slice]:
    """Cut `length` tokens into pieces of `sizes`, the last of them repeated.

    single: pieces behind a past go alone, and then none of them is a single token: that is what a decode step takes,
    where the runtime may sum in another order.
    """
    pieces: list[slice] = []
    end = 0
    while end < length:
        size = sizes[min(len(pieces), len(sizes) - 1)]
        first, end = end, min(end + (max(size, 2) if single and pieces else size), length)
        end = length if single and length - end == 1 else end
        pieces.append(slice(first, end))
    return pieces
