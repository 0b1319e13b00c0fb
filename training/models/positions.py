"""Positions as tables: sinusoids to add to embeddings, and rotations of queries and keys. Pure functions."""

from __future__ import annotations

import torch
from torch import Tensor


def sinusoids(limit: int, width: int, *, halves: bool = False) -> Tensor:
    """Return the positional encoding [limit, width] of Vaswani et al. 2017, section 3.5. `width` is even.

    halves: all sines and then all cosines, instead of in turn.
    """
    angles = _angles(limit, frequencies(width, base=10_000.0))
    waves = (angles.sin(), angles.cos())
    return torch.cat(waves, dim=-1) if halves else torch.stack(waves, dim=-1).flatten(1)


def frequencies(width: int, base: float) -> Tensor:
    """Return the angular frequencies [width / 2] float64, in radians per position, of which both encodings are made."""
    return base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)


def rotations(limit: int, turning: Tensor, magnitude: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return cosines and sines [limit, head_width / 2] of rotary positions (Su et al. 2021, RoFormer).

    turning: frequencies [head_width / 2].    magnitude: factor on both (Peng et al. 2023, YaRN, section 3.4).
    """
    angles = _angles(limit, turning)
    return angles.cos() * magnitude, angles.sin() * magnitude


def rotate(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate `heads` [..., head_width], the first half paired with the second, by tables [..., head_width / 2]."""
    first, second = heads.chunk(2, dim=-1)
    return torch.cat((first * cosines - second * sines, second * cosines + first * sines), dim=-1)


def _angles(limit: int, turning: Tensor) -> Tensor:
    return torch.outer(torch.arange(limit, dtype=torch.float64), turning.double()).float()
