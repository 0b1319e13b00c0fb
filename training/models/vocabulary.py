"""The way from token ids into a model and from its features back to logits, with one table or two.

Knows nothing about what lies between.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Vocabulary(nn.Module):
    """Embeds tokens and scores features; with `tied` both by the same table (Press and Wolf, 2017).

    Args:
        size: number of token ids.
        width: of embeddings and of features.
        tied: whether one table does both.
        spread: standard deviation of the table at the start.
        scale: factor on the embeddings, not on the logits (Vaswani et al. 2017, section 3.4, use sqrt(width)).
        bias: whether every token's score has a number of its own.
    """

    def __init__(
        self, size: int, width: int, *, tied: bool, spread: float, scale: float = 1.0, bias: bool = True
    ) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(size, width).normal_(std=spread))
        self.output = None if tied else nn.Parameter(torch.empty(size, width).normal_(std=width**-0.5))
        self.bias = nn.Parameter(torch.zeros(size)) if bias else None

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed `tokens` [...] int64 as [..., width]."""
        embedded = F.embedding(tokens, self.weight)
        return embedded if self.scale == 1.0 else embedded * self.scale

    def logits(self, features: Tensor) -> Tensor:
        """Score features [..., width] against every token: [..., size] float32."""
        return F.linear(features, self.weight if self.output is None else self.output, self.bias).float()
