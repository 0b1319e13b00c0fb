"""Positions as tables: sinusoids to add to embeddings, and rotations of queries and keys. Pure functions."""

from __future__ import annotations

import torch
from torch import Tensor


def sinusoids(limit: int, width: int) -> Tensor:
    """Return the positional encoding [limit, width] of Vaswani et al. 2017, section 3.5. `width` is even."""
    angles = _angles(limit, width, base=10_000.0)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


def rotations(limit: int, head_width: int, base: float) -> tuple[Tensor, Tensor]:
    """Return cosines and sines [limit, head_width / 2] of rotary positions (Su et al. 2021, RoFormer)."""
    angles = _angles(limit, head_width, base)
    return angles.cos(), angles.sin()


def rotate(heads: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate `heads` [..., head_width], the first half paired with the second, by tables [..., head_width / 2]."""
    first, second = heads.chunk(2, dim=-1)
    return torch.cat((first * cosines - second * sines, second * cosines + first * sines), dim=-1)


def _angles(limit: int, width: int, base: float) -> Tensor:
    frequencies = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.outer(torch.arange(limit, dtype=torch.float64), frequencies).float()
