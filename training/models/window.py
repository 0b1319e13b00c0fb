"""The last tokens before each position: the state of every model with a finite memory. Pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor


def slide(context: Tensor, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Slide a window over `context` [B, n] and the tokens [B, T] behind it, of which `lengths` [B] are real.

    Returns the last n tokens up to and including each position, oldest first, [B, T, n] int64, and the next context
    [B, n]: the last n real tokens.
    """
    size = context.shape[1]
    sequence = torch.cat((context, tokens), dim=1)  # [B, n + T]
    offsets = torch.arange(size, device=tokens.device)
    places = torch.arange(tokens.shape[1], device=tokens.device)[:, None] + offsets + 1  # [T, n]
    windows = sequence.index_select(1, places.flatten()).view(tokens.shape[0], -1, size)
    return windows, sequence.gather(1, lengths[:, None] + offsets)
