"""The largest logits of every row, sorted, the lower id first where they are equal. Knows nothing about sampling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SIGN = np.int32(31)
_MAGNITUDE = np.int32(0x7FFFFFFF)


def largest(logits: NDArray[np.float32], width: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the `width` largest of `logits` [n, V] and their ids, both [n, width], descending."""
    # Float and id in one integer: the bits of a float order like a signed integer once those of negative ones are
    # turned round, and the id below them makes every key unique, so that no sorting algorithm can settle a tie.
    size = logits.shape[1]
    keys = _turned((logits + np.float32(0)).view(np.int32)).astype(np.int64)  # + 0: -0 and 0 are equal
    keys <<= 32
    keys |= np.arange(size - 1, -1, -1)
    if width < size:
        keys = np.partition(keys, size - width, axis=1)[:, size - width :]
    keys = np.sort(keys, axis=1)[:, ::-1]
    values = _turned((keys >> 32).astype(np.int32)).view(np.float32)
    return values, size - 1 - (keys & 0xFFFFFFFF)


def _turned(bits: NDArray[np.int32]) -> NDArray[np.int32]:
    """Map the bits of floats to integers of the same order, or back."""
    return bits ^ ((bits >> _SIGN) & _MAGNITUDE)
