"""How large rotated keys may be at places that calibration has not seen.

`GroupQueryAttention` turns pairs of channels by an angle that grows with the place (Su et al. 2021). What a key is at
one place says what it would be at any other: both of a pair go along an arc, from the first place to the last. Slow
pairs go a little way, and the largest on the arc is far from the size of the pair. Knows nothing about rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import NodeProto

from export.quantize.constants import Constants, Floats

_COSINES, _SINES = 7, 8


@dataclass(frozen=True, slots=True)
class Rotation:
    """What an attention does to keys.

    Attributes:
        angles: [limit, pairs], of every place.
        interleaved: whether a pair are neighbours, or as far apart as there are pairs.
    """

    angles: Floats
    interleaved: bool

    def sizes_anywhere(self, keys: Floats) -> Floats:
        """Return for `keys` [heads, T, head_width], rotated for places 0 to T - 1, their largest sizes at any place."""
        sizes: Floats = np.abs(keys)
        first, second = self._halves(keys)
        turned = np.arctan2(second, first) - self.angles[: keys.shape[1]]
        begin, end = turned + self.angles.min(axis=0), turned + self.angles.max(axis=0)
        radii = np.hypot(first, second)
        for half, shift in zip(self._halves(sizes), (0.0, np.pi / 2), strict=True):
            half[:] = radii * _largest_cosine(begin - shift, end - shift)
        return sizes

    def _halves(self, keys: Floats) -> tuple[Floats, Floats]:
        """Return the first and the second of all pairs, both as views; channels behind them are not rotated."""
        pairs = self.angles.shape[1]
        if self.interleaved:
            return keys[..., : 2 * pairs : 2], keys[..., 1 : 2 * pairs : 2]
        return keys[..., :pairs], keys[..., pairs : 2 * pairs]


def rotation_of(node: NodeProto, constants: Constants) -> Rotation | None:
    """Return what `node`, a GroupQueryAttention, does to keys, if it rotates them."""
    numbers = {item.name: item.i for item in node.attribute}
    if not numbers.get("do_rotary"):
        return None
    cosines, sines = (constants.floats(node.input[place]) for place in (_COSINES, _SINES))
    angles = np.unwrap(np.arctan2(sines, cosines).astype(np.float64), axis=0)
    return Rotation(angles.astype(np.float32), bool(numbers.get("rotary_interleaved")))


def _largest_cosine(begin: Floats, end: Floats) -> Floats:
    """Return the largest cosine without its sign between two angles."""
    passes = np.floor(end / np.pi) > np.floor(begin / np.pi)
    return np.where(passes, np.float32(1), np.maximum(np.abs(np.cos(begin)), np.abs(np.cos(end))))
