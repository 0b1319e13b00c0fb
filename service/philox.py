"""Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
1, 2, 3", SC 2011), for many counters at once. Knows nothing about sampling.

A number is a pure function of its key and counter, so a stream can be continued anywhere from its position alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]  # 32-bit words, held in 64 bits

_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MULTIPLIERS = np.array([[0xD2511F53], [0xCD9E8D57]], np.uint64)
_WEYL = np.array([[0x9E3779B9], [0xBB67AE85]], np.uint64)
_KEY_STEPS = np.arange(10, dtype=np.uint64)[:, None, None] * _WEYL  # [rounds, 2, 1]


def philox4x32(counter: Words, key: Words) -> Words:
    """Encrypt `counter` [4, n] under `key` [2, n], both of 32-bit words, by ten rounds; returns [4, n]."""
    even, odd = counter[0::2], counter[1::2]  # words 0 and 2, words 1 and 3: [2, n]
    for round_key in (key + _KEY_STEPS) & _MASK:
        product = (even * _MULTIPLIERS)[::-1]
        even = (product >> _SHIFT) ^ odd ^ round_key
        odd = product & _MASK
    return np.stack((even, odd), axis=1).reshape(4, -1)


def uniforms(
    seeds: NDArray[np.uint64], samples: NDArray[np.uint64], positions: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return one number in [0, 1), a multiple of 2**-52, for each (seed, sample, position); all [n]."""
    places = positions.astype(np.uint64)
    counter = np.stack((places & _MASK, places >> _SHIFT, samples & _MASK, samples >> _SHIFT))
    words = philox4x32(counter, np.stack((seeds & _MASK, seeds >> _SHIFT)))
    bits: Words = (words[0] << np.uint64(20)) | (words[1] >> np.uint64(12))
    return bits.astype(np.float64) * 2.0**-52


class Numbers:
    """The random numbers of some samples, computed several positions ahead because that costs little more than one."""

    AHEAD = 16

    def __init__(self, seeds: NDArray[np.uint64], samples: NDArray[np.uint64]) -> None:
        """`seeds` and `samples` [n] are the keys of the samples."""
        self._seeds, self._samples = np.tile(seeds, self.AHEAD), np.tile(samples, self.AHEAD)
        self._columns = np.arange(len(seeds))
        self._first = np.full(len(seeds), -self.AHEAD)
        self._table = np.empty((self.AHEAD, len(seeds)))

    def at(self, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the numbers [n] at `positions` [n] of the samples."""
        steps = positions - self._first
        if steps.view(np.uint64).max() >= self.AHEAD:  # behind the table, or before it
            self._first, steps = positions.copy(), np.zeros_like(positions)
            ahead = (positions + np.arange(self.AHEAD)[:, None]).reshape(-1)
            self._table = uniforms(self._seeds, self._samples, ahead).reshape(self.AHEAD, -1)
        found: NDArray[np.float64] = self._table[steps, self._columns]
        return found
