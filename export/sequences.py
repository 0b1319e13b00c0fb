"""What the parity gate feeds to a model: ragged rows of random tokens, and the sizes that it tries.

Knows the limits of a model from its manifest, and nothing about how it is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Calls, Manifest
from export.extent import Extent

Ids = NDArray[np.int64]

BATCHES = (5, 3, 2, 1)
# One more than a power of two: kernels work in blocks, and what is left over may take another path.
LENGTHS = (1, 2, 3, 7, 9, 17, 33, 65, 129, 257)
# Longest sequence tried where the state never fills, whatever length the model was trained on.
LONGEST = 1024
# Weights of a model above which long sequences are tried in fewer batch sizes, pieces and steps (`Maker.large`).
LARGE = 2**25
# Tokens of one call of a large model, padding counted.
LARGE_GRID = 520
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

    def first(self, count: int) -> Sequences:
        """Return the first `count` rows: the same arrays."""
        sources = None if self.sources is None else self.sources[:count]
        return Sequences(self.tokens[:count], sources)

    def extent(self, row: int) -> Extent:
        """Return how far the state of `row` is filled when it has consumed all of its tokens."""
        return Extent(len(self.tokens[row]), 0 if self.sources is None else len(self.sources[row]))

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
        self._batches: dict[tuple[int, int], Sequences] = {}
        self.large = manifest.training.parameters > LARGE
        limit = manifest.context_limit or LONGEST
        self.limit = limit - (not manifest.calls.allow(limit))
        self.longest = min(self.limit, LONGEST, max(*LENGTHS, 2 * trained_length))
        self.lengths = sorted({min(length, self.longest) for length in (*LENGTHS, self.longest)})

    def grid(self) -> list[Sequences]:
        """Return one ragged batch for every batch size and length, for each length the largest first."""
        room = LOGITS_LIMIT // self._manifest.vocabulary_size
        room = min(room, LARGE_GRID) if self.large else room
        return [
            self.batch(rows, length)
            for length in self.lengths
            for rows in BATCHES
            if rows == 1 or rows * length <= room
        ]

    def batch(self, rows: int, longest: int) -> Sequences:
        """Return `rows` ragged rows, the first `longest` tokens long: always the same object, and the first rows of
        a larger batch of that length.
        """
        if (rows, longest) not in self._batches:
            largest = self.ragged(max(BATCHES), longest)
            self._batches |= {(count, longest): largest.first(count) for count in BATCHES}
        return self._batches[rows, longest]

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


def cut(length: int, sizes: Sequence[int], calls: Calls | None, most: int | None = None) -> list[slice]:
    """Cut `length` tokens into pieces of `sizes`, the last of them repeated.

    calls: which pieces the graph takes; None: any. Pieces behind a past that go alone are no single tokens: those are
    what a decode step takes, where the runtime may sum in another order.
    most: of the smallest pieces that there may be; whatever is above goes first, in one.
    """
    single = calls is not None and calls.chunk == "single"

    def fits(first: int, size: int) -> bool:
        alone = single and ((size == 1 and first > 0) or length - first - size == 1)
        return not alone and (calls is None or calls.allow(size))

    ahead = 0 if most is None else max(length - most * max(min(sizes), 1 + single), 0)
    ahead -= ahead > 0 and not fits(0, ahead)
    ends = [0, ahead] if ahead else [0]
    while ends[-1] < length:
        first, size = ends[-1], sizes[min(len(ends) - 1 - (ahead > 0), len(sizes) - 1)]
        possible = (other for other in range(1, length - first + 1) if fits(first, other))
        ends.append(first + min(possible, key=lambda other: (abs(other - size), -other)))
    return [slice(*both) for both in pairwise(ends)]
