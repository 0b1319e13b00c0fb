"""Weights rounded to a few bits in blocks: to the nearest level, or so that later inputs make up for earlier errors.

The second way is GPTQ (Frantar et al. 2022): input by input, the error of rounding is spread over the inputs still to
come, by what calibration says of how they go together. Blocks lie along the inputs of a product; each has a scale and a
zero point of its own. Knows nothing about graphs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]

# Of the mean of the second moment's diagonal, added to all of it: inputs hardly seen are then rounded to the nearest.
_DAMPING = 0.01
# What is left of a block's range: a few large weights clipped may serve all others.
_RANGES = tuple(1 - step / 32 for step in range(13))
_LEAST = 1e-12


class Blocks(NamedTuple):
    """A matrix [K, N] in blocks along K, padded to whole ones: a weight is (code - zero point) * scale.

    codes: uint8 [N, K / block, block], from 0 to 2^bits - 1.
    scales: float32 [N, K / block].
    zero_points: uint8 [N, K / block], from 0 to 2^bits - 1.
    """

    codes: Codes
    scales: Floats
    zero_points: Codes

    def dense(self, inputs: int) -> Floats:
        """Return the weights [K, N] float32 that the codes stand for; `inputs` is K without padding."""
        steps = self.codes.astype(np.float32) - self.zero_points[..., None]
        weights: Floats = (steps * self.scales[..., None]).reshape(len(steps), -1).T[:inputs]
        return weights

    def pack(self, bits: int = 4) -> Blocks:
        """Return codes [N, K / block, block * bits / 8] and zero points [N, K / block * bits / 8 rounded up] in bytes.

        This is how com.microsoft::MatMulNBits takes them, the first of two in a byte in the lower half.
        """
        if bits == 8:
            return self
        return Blocks(_paired(self.codes), self.scales, _paired(self.zero_points))


def round_nearest(weights: Floats, block_size: int, bits: int = 4) -> Blocks:
    """Round `weights` [K, N] to the nearest level, the range of each block such that its squared error is least."""
    rest = _padded(weights, block_size)
    blocks = rest.reshape(-1, block_size, rest.shape[1])  # [K / block, block, N]
    grids = [_grid(block, np.ones(block_size, np.float32), bits) for block in blocks]
    codes = [_rounded(block, *grid, bits) for block, grid in zip(blocks, grids, strict=True)]
    return _blocks(codes, grids)


def round_blocks(weights: Floats, second_moment: NDArray[np.float64], block_size: int, bits: int = 4) -> Blocks:
    """Round `weights` [K, N] so that their product with inputs as in calibration changes little.

    second_moment: X^T X [K, K] float64 of the inputs X [rows, K] of calibration.

    Source: Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
    the inputs in their order; computed as in Chee et al. 2023, "QuIP: 2-Bit Quantization of Large Language Models With
    Guarantees", which shows it to be the same without an inverse. A block's range is chosen when its turn comes.
    """
    exact = _padded(weights, block_size)
    errors = np.zeros_like(exact)
    spread, cost = _spread(second_moment, len(exact))
    grids, codes = [], []
    for start in range(0, len(exact), block_size):
        here = slice(start, start + block_size)
        among = spread[here, here]
        # What is wanted here if nothing more were rounded: each input makes up for those of earlier blocks, and for
        # what the inputs before it in this block do about them.
        wanted = exact[here] + np.linalg.solve(among.T, spread[:start, here].T @ errors[:start])
        grid = _grid(wanted, cost[here], bits)
        block_codes = _compensated(wanted, among, grid, bits)
        errors[here] = exact[here] - (block_codes - grid[1]) * grid[0]
        grids.append(grid)
        codes.append(block_codes)
    return _blocks(codes, grids)


def _compensated(wanted: Floats, spread: Floats, grid: tuple[Floats, Floats], bits: int) -> Floats:
    """Return codes of `wanted` [block, N], rounded input by input, each error spread over the inputs behind."""
    scales, zeros = grid
    codes, targets = np.empty_like(wanted), wanted.copy()
    for index, target in enumerate(targets):
        codes[index] = _rounded(target, scales, zeros, bits)
        error = wanted[index] - (codes[index] - zeros) * scales
        targets[index + 1 :] += spread[index, index + 1 :, None] * error
    return codes


def _spread(second_moment: NDArray[np.float64], inputs: int) -> tuple[Floats, Floats]:
    """Factor the damped second moment, K padded to `inputs`, into U D U^T; return U [K, K], upper, and D's diagonal.

    Column k of U says how much of the error of each input before k input k takes over, D what its own then costs.
    """
    known = len(second_moment)
    moment = np.zeros((inputs, inputs))
    moment[:known, :known] = second_moment
    moment[np.diag_indices(inputs)] += max(_DAMPING * np.trace(second_moment) / known, _LEAST)
    upper = np.linalg.cholesky(moment[::-1, ::-1])[::-1, ::-1]
    diagonal = np.diag(upper)
    return (upper / diagonal).astype(np.float32), np.square(diagonal).astype(np.float32)


def _grid(block: Floats, cost: Floats, bits: int) -> tuple[Floats, Floats]:
    """Return scales and zero points [N] for `block` [block, N]: the range of least error, weighed by `cost` [block]."""
    levels = 2**bits - 1
    low, high = np.minimum(block.min(axis=0), 0), np.maximum(block.max(axis=0), 0)
    best = np.full(block.shape[1], np.inf, np.float32)
    scales, zeros = np.ones_like(best), np.zeros_like(best)
    for part in _RANGES:
        scale = np.maximum((high - low) * np.float32(part / levels), np.float32(_LEAST))
        zero = np.rint(-low * np.float32(part) / scale)
        off = (_rounded(block, scale, zero, bits) - zero) * scale - block
        error = cost @ np.square(off, out=off)
        better = error < best
        best, scales, zeros = (np.where(better, *pair) for pair in ((error, best), (scale, scales), (zero, zeros)))
    return scales, zeros


def _rounded(weights: Floats, scales: Floats, zeros: Floats, bits: int) -> Floats:
    codes: Floats = np.clip(np.rint(weights / scales) + zeros, 0, 2**bits - 1)
    return codes


def _padded(weights: Floats, block_size: int) -> Floats:
    """Return a copy of `weights` [K, N] float32 with zeros up to whole blocks."""
    padding = -len(weights) % block_size
    return np.pad(np.asarray(weights, np.float32), ((0, padding), (0, 0)))


def _blocks(codes: list[Floats], grids: list[tuple[Floats, Floats]]) -> Blocks:
    """Lay out codes [block, N] and grids [N], one a block, the outputs first."""
    scales, zeros = (np.ascontiguousarray(np.stack(parts).T) for parts in zip(*grids, strict=True))
    by_output = np.ascontiguousarray(np.stack(codes).transpose(2, 0, 1).astype(np.uint8))
    return Blocks(by_output, scales, zeros.astype(np.uint8))


def _paired(codes: Codes) -> Codes:
    """Put two of `codes` along the last axis into a byte, an odd last one by itself."""
    codes = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, codes.shape[-1] % 2)])
    return np.bitwise_or(codes[..., ::2], np.left_shift(codes[..., 1::2], np.uint8(4)))
