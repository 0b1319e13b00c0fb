"""Causal self-attention behind a cache of keys and values, for rows that stand at different positions.

In eager mode plain tensor code through which gradients flow; in the exported graph ONE operator,
`com.microsoft::GroupQueryAttention`, which writes the new keys and values into the caches in place. Knows nothing
about the layers around it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.attention import split_heads
from training.models.positions import rotate


@dataclass(frozen=True, slots=True)
class Span:
    """Where the tokens of one call lie, the same for all layers.

    Attributes:
        position: [B] int64, tokens that each row has consumed before.
        lengths: [B] int64, real tokens of each row in this call.
        time: T, tokens of the call with padding.
        rotations: cosines and sines [limit, head_width / 2] if queries and keys are to be rotated.
    """

    position: Tensor
    lengths: Tensor
    time: int
    rotations: tuple[Tensor, Tensor] | None = None

    def places(self, limit: int) -> Tensor:
        """Return the position of every token, [B, T] int64; padding never reaches `limit`."""
        places = self.position[:, None] + torch.arange(self.time, device=self.position.device)
        return places.clamp(max=limit - 1)


class CachedAttention(nn.Module):
    """Grouped-query attention (Ainslie et al. 2023); with as many key as query heads, that of Vaswani et al. 2017.

    Args:
        width: of inputs and outputs.
        heads: of queries; `width / heads` is the width of a head.
        kv_heads: of keys and values; divides `heads`.
        dropout: share of attention weights dropped in training.
    """

    def __init__(self, width: int, heads: int, kv_heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.kv_heads = kv_heads
        self.head_width = width // heads
        self.dropout = dropout
        self.project = nn.Linear(width, (heads + 2 * kv_heads) * self.head_width)  # queries, keys, values
        self.merge = nn.Linear(width, width)

    def forward(self, x: Tensor, span: Span, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Attend from `x` [B, T, width] to the past and to itself.

        keys, values: caches [B, kv_heads, capacity, head_width]; capacity 0 keeps nothing and attends to `x` alone.
        Returns outputs [B, T, width] and the caches with this call's real tokens in them.
        """
        attend = self._exported if torch.compiler.is_exporting() else self._eager
        mixed, keys, values = attend(self.project(x), span, keys, values)
        return self.merge(mixed), keys, values

    def _exported(self, projected: Tensor, span: Span, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, time, _ = projected.shape
        last = (span.position + span.lengths - 1).to(torch.int32)
        total = (span.position.max() + time).to(torch.int32)
        mixed, keys, values = torch.onnx.ops.symbolic_multi_out(
            "com.microsoft::GroupQueryAttention",
            [projected, None, None, keys, values, last, total, *(span.rotations or ())],
            attrs={
                "num_heads": self.heads,
                "kv_num_heads": self.kv_heads,
                "do_rotary": int(span.rotations is not None),
                "scale": self.head_width**-0.5,
            },
            dtypes=[projected.dtype, keys.dtype, values.dtype],
            shapes=[(batch, time, self.heads * self.head_width), tuple(keys.shape), tuple(values.shape)],
            version=1,
        )
        return mixed, keys, values

    def _eager(self, projected: Tensor, span: Span, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        heads = split_heads(projected, self.heads + 2 * self.kv_heads)  # [B, …, T, head_width]
        query, key, value = torch.split(heads, [self.heads, self.kv_heads, self.kv_heads], dim=1)
        if span.rotations is not None:
            places = span.places(len(span.rotations[0]))
            cosines, sines = (table[places][:, None] for table in span.rotations)
            query, key = (rotate(x, cosines, sines).to(value.dtype) for x in (query, key))
        dropout = self.dropout if self.training else 0.0
        grouped = self.heads != self.kv_heads
        if keys.shape[2] == 0:
            mixed = F.scaled_dot_product_attention(
                query, key, value, dropout_p=dropout, is_causal=True, enable_gqa=grouped
            )
        else:
            keys, values = _append(keys, key, span), _append(values, value, span)
            slots = torch.arange(keys.shape[2], device=keys.device)
            seen = slots <= span.places(keys.shape[2])[:, None, :, None]  # [B, 1, T, capacity]
            mixed = F.scaled_dot_product_attention(
                query, keys.to(query.dtype), values.to(query.dtype), seen, dropout_p=dropout, enable_gqa=grouped
            )
        return mixed.transpose(1, 2).flatten(2), keys, values


def _append(cache: Tensor, new: Tensor, span: Span) -> Tensor:
    """Return `cache` [B, heads, capacity, width] with the real tokens of `new` [B, heads, T, width] behind the past."""
    slots = torch.arange(cache.shape[2], device=cache.device)
    offsets = slots - span.position[:, None]  # [B, capacity]: which token of this call belongs into each slot
    fresh = (offsets >= 0) & (offsets < span.lengths[:, None])
    source = offsets.clamp(0, span.time - 1)[:, None, :, None].expand(-1, new.shape[1], -1, new.shape[3])
    return torch.where(fresh[:, None, :, None], new.gather(2, source).to(cache.dtype), cache)
