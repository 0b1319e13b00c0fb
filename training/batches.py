"""Batches for teacher forcing: windows of a token stream, and padded pairs of similar length.

The batch of a step is a function of (seed, step) alone, so a resumed run goes on with the data it would have seen, and
any number of processes share the same global batches. Knows nothing about models or text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.tokenization import SPECIAL_TOKENS, Ids

IGNORED = -100  # cross_entropy's own default: positions that are not predicted
Rows = TypeVar("Rows", list[Any], NDArray[np.int64])
_POOL = 50  # batches sorted by length together: long enough for little padding, short enough to stay random


class Batch(NamedTuple):
    """Inputs, and at each position the token that follows.

    Attributes:
        tokens: [B, T] int64, opened by <bos>.
        lengths: [B] int64, real tokens of each row.
        targets: [B, T] int64, `IGNORED` behind the row's length.
        source: [B, S] int64 closed by <eos>, and its lengths [B]; None in a language model.
    """

    tokens: Tensor
    lengths: Tensor
    targets: Tensor
    source: Tensor | None = None
    source_lengths: Tensor | None = None

    @property
    def token_count(self) -> int:
        """Real tokens, the source's included."""
        return int(self.lengths.sum()) + (int(self.source_lengths.sum()) if self.source_lengths is not None else 0)

    def to(self, device: torch.device) -> Batch:
        return Batch(*(None if tensor is None else tensor.to(device, non_blocking=True) for tensor in self))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of every global batch is this process's: every `of`-th row from `rank` on."""

    rank: int = 0
    of: int = 1

    def rows(self, batch: Rows) -> Rows:
        """Return this process's rows of a global batch. Raises ValueError, in every process, if one had none."""
        if len(batch) < self.of:
            raise ValueError(f"a batch of {len(batch)} has less than a row for each of the {self.of} processes")
        return batch[self.rank :: self.of]

    def pieces(self, rows: Rows, size: int) -> Iterator[Rows]:
        """Yield this process's rows, `size` at a time, as many times in every process: the last may have no rows."""
        own = rows[self.rank :: self.of]
        for first in range(0, -(-len(rows) // self.of), size):
            yield own[first : first + size]


class Batches(Protocol):
    """What training by gradient asks of its data."""

    def training(self, step: int, share: Share) -> Batch:
        """Return this process's part of the batch of `step`."""
        ...

    def validation(self, share: Share) -> Iterator[Batch]:
        """Yield this process's part of the validation data, always the same."""
        ...


class WindowBatches:
    """Windows of two streams of token ids.

    A window begins anywhere, so the <bos> in front of it means "text from here on", not "a document begins".

    Args:
        training: ids of all training documents, each closed by <eos>.
        validation: ids of all validation documents, likewise.
        batch_size: windows in a global batch.
        length: tokens predicted in a window; fewer if a stream is shorter.
        validation_tokens: most tokens of the validation stream to look at, evenly spread.
        seed: of the order.
    """

    def __init__(
        self, training: Ids, validation: Ids, batch_size: int, length: int, validation_tokens: int, seed: int
    ) -> None:
        self._training = training
        self._validation = validation
        self._batch_size = batch_size
        self._length = min(length, len(training))
        self._validation_tokens = validation_tokens
        self._seed = seed

    def training(self, step: int, share: Share) -> Batch:
        # Philox is counter-based: any step's numbers come at once, without those before.
        generator = np.random.Generator(np.random.Philox(key=[self._seed, step]))
        starts = generator.integers(len(self._training) - self._length + 1, size=self._batch_size)
        return _windows(self._training, share.rows(starts), self._length)

    def validation(self, share: Share) -> Iterator[Batch]:
        length = min(self._length, len(self._validation))
        starts = np.arange(0, len(self._validation) - length + 1, length)
        if len(starts) * length > self._validation_tokens:
            starts = starts[np.linspace(0, len(starts) - 1, max(self._validation_tokens // length, 1)).astype(int)]
        for piece in share.pieces(starts, 2 * self._batch_size):
            batch = _windows(self._validation, piece if len(piece) else starts[:1], length)
            yield batch if len(piece) else idle(batch)


class PairBatches:
    """Batches of (source, target) of similar length, each epoch in a new random order.

    Args:
        training: pairs of ids, without special tokens.
        validation: likewise.
        batch_size: pairs in a global batch.
        seed: of the order.
    """

    def __init__(
        self, training: Sequence[tuple[Ids, Ids]], validation: Sequence[tuple[Ids, Ids]], batch_size: int, seed: int
    ) -> None:
        self._training = training
        self._validation = validation
        self._batch_size = min(batch_size, len(training))
        self._seed = seed
        self._lengths = np.array([len(source) + len(target) for source, target in training])
        self._epoch = lru_cache(maxsize=1)(self._shuffled)

    def training(self, step: int, share: Share) -> Batch:
        in_epoch = len(self._training) // self._batch_size
        rows = self._epoch(step // in_epoch)[step % in_epoch]
        return padded([self._training[row] for row in share.rows(rows)])

    def validation(self, share: Share) -> Iterator[Batch]:
        pairs = sorted(self._validation, key=lambda pair: len(pair[0]))
        for piece in share.pieces(pairs, 2 * self._batch_size):
            batch = padded(piece or pairs[:1])
            yield batch if piece else idle(batch)

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        """Return the rows of every batch of an epoch, [batches, batch_size]; what does not fill a batch waits."""
        generator = np.random.Generator(np.random.Philox(key=[self._seed, epoch]))
        order = generator.permutation(len(self._training))
        order = order[: len(order) // self._batch_size * self._batch_size]
        pool = _POOL * self._batch_size
        pools = [order[first : first + pool] for first in range(0, len(order), pool)]
        by_length = np.concatenate([rows[np.argsort(self._lengths[rows], kind="stable")] for rows in pools])
        batches = by_length.reshape(-1, self._batch_size)
        return batches[generator.permutation(len(batches))]


def idle(batch: Batch) -> Batch:
    """Return `batch` with nothing to predict, for a process that has no rows while others compute."""
    return batch._replace(targets=torch.full_like(batch.targets, IGNORED))


def padded(pairs: Sequence[tuple[Ids, Ids]]) -> Batch:
    """Make the batch of some pairs: sources s <eos>, inputs <bos> t, targets t <eos>."""
    pad, bos, eos = SPECIAL_TOKENS.pad, SPECIAL_TOKENS.bos, SPECIAL_TOKENS.eos
    source, source_lengths = stack([[*source.tolist(), eos] for source, _ in pairs], pad)
    tokens, lengths = stack([[bos, *target.tolist()] for _, target in pairs], pad)
    targets, _ = stack([[*target.tolist(), eos] for _, target in pairs], IGNORED)
    return Batch(tokens, lengths, targets, source, source_lengths)


def stack(rows: Sequence[Sequence[int]], fill: int) -> tuple[Tensor, Tensor]:
    """Stack ragged rows: [B, T] int64 padded on the right with `fill`, and their lengths [B] int64."""
    lengths = torch.tensor([len(row) for row in rows])
    stacked = torch.full((len(rows), int(lengths.max())), fill)
    for row, values in enumerate(rows):
        stacked[row, : len(values)] = torch.tensor(values)
    return stacked, lengths


def _windows(stream: Ids, starts: NDArray[np.int64], length: int) -> Batch:
    targets = torch.from_numpy(stream[starts[:, None] + np.arange(length)].astype(np.int64))
    opening = torch.full((len(starts), 1), SPECIAL_TOKENS.bos)
    tokens = torch.cat([opening, targets[:, :-1]], dim=1)
    return Batch(tokens, torch.full((len(starts),), length), targets)
