"""Weights that lie on a few levels already, since another format rounded them to these: its blocks, found again.

A block of such a format (llama.cpp's Q4_0, Q4_1) has a step and a lowest level; a weight is the lowest level and a
whole number of steps. What is found loses nothing. Knows nothing about graphs, or about which format it was.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from export.quantize.rounding import Blocks, Floats, round_nearest

# Of a step: how far a weight may be from its level. Arithmetic in float32 leaves 1e-5.
_NEAR = 1e-3
_LEAST = 1e-12
# Outputs that are looked at before all are.
_FEW = 8


class Levels(NamedTuple):
    """A matrix [K, N] in blocks along K: a weight is (code - zero point) * scale and the rest of its block.

    blocks: codes, scales and zero points; without the rests.
    rests: float32 [N, K / block], what lies between zero and the level of the zero point.
    """

    blocks: Blocks
    rests: Floats

    def dense(self, inputs: int) -> Floats:
        """Return the weights [K, N] float32; `inputs` is K without padding."""
        rests = np.repeat(self.rests, self.blocks.codes.shape[-1], axis=1).T[:inputs]
        dense: Floats = self.blocks.dense(inputs) + rests
        return dense

    def extended(self) -> Blocks:
        """Return one matrix for inputs and the sums of their blocks: the rests, in 4 bits, are further blocks.

        They multiply the sums of each block of inputs, in its order and padded to whole blocks.
        """
        size = self.blocks.codes.shape[-1]
        rests = round_nearest(np.ascontiguousarray(self.rests.T), size)
        codes = np.concatenate((self.blocks.codes, rests.codes), axis=1)
        scales = np.concatenate((self.blocks.scales, rests.scales), axis=1)
        return Blocks(codes, scales, np.concatenate((self.blocks.zero_points, rests.zero_points), axis=1))

    @property
    def through_zero(self) -> bool:
        """Whether zero is a level of every block: there are no rests, and the blocks alone are the matrix."""
        return bool((np.abs(self.rests) <= _NEAR * self.blocks.scales).all())


def find_levels(weights: Floats, block_size: int, bits: int = 4) -> Levels | None:
    """Return the levels that every block of `weights` [K, N] lies on, 2^bits at most a block; None if one does not."""
    if len(weights) % block_size:
        return None
    blocks = weights.T.reshape(weights.shape[1], -1, block_size)  # [N, K / block, block]
    if _steps(blocks[:_FEW], bits) is None or (steps := _steps(blocks, bits)) is None:
        return None
    low = blocks.min(axis=-1)
    zeros = np.clip(np.rint(-low / steps), 0, 2**bits - 1)
    codes = np.rint((blocks - low[..., None]) / steps[..., None]).astype(np.uint8)
    return Levels(Blocks(codes, steps, zeros.astype(np.uint8)), low + zeros * steps)


def _steps(blocks: Floats, bits: int) -> Floats | None:
    """Return the step [N, blocks] of each of `blocks` [N, blocks, block], or None if one has none.

    The lowest and the highest weight are levels; what is between them is at most 2^bits - 1 steps.
    """
    low, high = blocks.min(axis=-1), blocks.max(axis=-1)
    steps = np.zeros_like(low)
    for count in range(2**bits - 1, 0, -1):
        left = steps == 0
        if not left.any():
            break
        size = np.maximum((high[left] - low[left]) / count, np.float32(_LEAST))
        places = (blocks[left] - low[left][:, None]) / size[:, None]
        fits = (np.abs(places - np.rint(places)) < _NEAR).all(axis=-1)
        steps[left] = np.where(fits, size, 0)
    return None if (steps == 0).any() else steps
