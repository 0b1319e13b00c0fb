"""The host arrays of one call of a step graph: what it reads, and what it returns. Knows nothing about ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import Manifest

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]
OUTPUTS = ("logits", "top_values", "top_indices")


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What a step returns: one row for each of the N positions asked for, over a vocabulary of V.

    logits: [N, V] float32.   top_values, top_indices: [N, k] float32 and int64, the k largest logits, descending.
    """

    logits: Floats
    top_values: Floats
    top_indices: Ids


@dataclass(frozen=True, slots=True)
class Arrays:
    """Host arrays that a call of the step graph reads and writes: tokens [B, T], lengths [B], indices [N]."""

    tokens: Ids
    lengths: Ids
    indices: Ids
    output: StepOutput

    @classmethod
    def empty(cls, manifest: Manifest, grid: tuple[int, int], wanted: int) -> Arrays:
        """Return arrays for a `grid` [B, T] of tokens, and N = `wanted` positions whose logits are asked for."""
        output = StepOutput(
            np.empty((wanted, manifest.vocabulary_size), np.float32),
            np.empty((wanted, manifest.top_k), np.float32),
            np.empty((wanted, manifest.top_k), np.int64),
        )
        return cls(np.empty(grid, np.int64), np.empty(grid[0], np.int64), np.empty(wanted, np.int64), output)

    def first(self, count: int) -> Arrays:
        """Return the part of the first `count` rows, of arrays for one token a row."""
        output = StepOutput(*(getattr(self.output, name)[:count] for name in OUTPUTS))
        return Arrays(self.tokens[:count], self.lengths[:count], self.indices[:count], output)
