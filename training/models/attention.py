"""Attention to a memory that is whole from the start: a source in cross-attention, the sequence itself in an encoder.

Keys and values are made once, by `memory`, and can then be read any number of times. Knows nothing about caches.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.either import either
from training.models.reach import Reach


class Attention(nn.Module):
    """Scaled dot-product attention in several heads (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.merge = nn.Linear(width, width)

    def memory(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values [B, heads, S, head_width] of `source` [B, S, width]."""
        keys, values = split_heads(self.key_value(source), 2 * self.heads).chunk(2, dim=1)
        return keys, values

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Attend from `x` [B, T, width] to the places of the memory where `mask` [B, 1, 1, S] is true."""
        merged: Tensor = self.merge(self._mix(self.query(x), keys, values, mask))
        return merged

    def look(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what `forward` does, and the weights [B, heads, T, S]. Without a mask all of the memory is read."""
        weights = weigh(split_heads(self.query(x), self.heads), keys, mask)
        return self.merge((weights @ values).transpose(1, 2).flatten(2)), weights

    def read(self, x: Tensor, keys: Tensor, values: Tensor, reach: Reach) -> Tensor:
        """Attend from `x` [B, T, width] to the places of the memory [B, heads, S, head_width] that `reach` tells."""
        query = self.query(x)
        mixed = self._mix(query, reach.cut(keys), reach.cut(values), reach.mask)
        if torch.compiler.is_exporting() and reach.decodes is not None:
            mixed = either(reach.decodes, self._mix_one(query, keys, values, reach.lengths), mixed)
        merged: Tensor = self.merge(mixed)
        return merged

    def _mix(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Mix values for `query` [B, T, width]; the same shape."""
        dropout = self.dropout if self.training else 0.0
        return attend(split_heads(query, self.heads), keys, values, mask, dropout).transpose(1, 2).flatten(2)

    def _mix_one(self, query: Tensor, keys: Tensor, values: Tensor, lengths: Tensor) -> Tensor:
        """The same for the one token of a decode step, T = 1, in the exported graph.

        The operator takes the memory for a past and gets no new keys and values. It reads each row as far as its own
        source goes, where it lies: nothing is cut or copied, as several queries of several rows would ask for.
        """
        nothing = query[:, :0]
        mixed: Tensor = torch.onnx.ops.symbolic(
            "com.microsoft::GroupQueryAttention",
            [query, nothing, nothing, keys, values, (lengths - 1).to(torch.int32), lengths.max().to(torch.int32)],
            attrs={"num_heads": self.heads, "kv_num_heads": self.heads, "scale": keys.shape[-1] ** -0.5},
            dtype=query.dtype,
            shape=tuple(query.shape),
            version=1,
        )
        return mixed


def weigh(query: Tensor, keys: Tensor, mask: Tensor | None = None, scale: float | None = None) -> Tensor:
    """Return the weights [B, heads, T, S] that `attend` mixes values with: exactly 0 where `mask` is false."""
    scores = query @ keys.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Cut [B, T, heads · head_width] into [B, heads, T, head_width]."""
    batch, time, width = x.shape
    return x.view(batch, time, heads, width // heads).transpose(1, 2)


def attend(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, dropout: float = 0.0, scale: float | None = None
) -> Tensor:
    """Attend from `query` [B, heads, T, head_width] to keys and values [B, heads, S, head_width]; the shape of `query`.

    mask: [B, 1, 1, S], true where the memory is real. scale: of the scores, 1 / sqrt(head_width) if not given.
    """
    exporting = torch.compiler.is_exporting()
    if exporting:
        # ONNX Runtime sums for a lone query in another order than for several. With one more none is ever alone, and
        # a token gets the same bits by itself and in a longer chunk.
        query = torch.cat((query, query[:, :, :1]), dim=2)
    mask = mask.expand(-1, -1, query.shape[2], -1)  # the ONNX operator broadcasts over heads, not over time
    keys, values = keys.to(query.dtype), values.to(query.dtype)
    mixed = F.scaled_dot_product_attention(query, keys, values, mask, dropout, scale=scale)
    return mixed[:, :, :-1] if exporting else mixed
