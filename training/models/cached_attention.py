"""Causal self-attention behind a cache of keys and values, for rows that stand at different positions.

In eager mode plain tensor code through which gradients flow; in the exported graph ONE operator,
`com.microsoft::GroupQueryAttention`, which writes the new keys and values into the caches in place. Knows nothing
about the layers around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.attention import weigh
from training.models.positions import rotate

Biases = Literal["all", "qkv", "none"]


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

    def decodes(self) -> Tensor:
        """Return whether this is a decode step, [] bool: one token for rows that all have a past."""
        return self.position.min().clamp(max=1) == self.time


@dataclass(frozen=True, slots=True)
class Heads:
    """The sizes of an attention.

    Attributes:
        width: of inputs and outputs.
        queries: heads of queries.
        memories: heads of keys and of values; divides `queries`.
        head_width: of each.
        biases: which products add a bias: all, those that make queries, keys and values, or none.
        norm_epsilon: of an RMSNorm over each query and each key (Henry et al. 2020); None: there is none.
        dropout: share of attention weights dropped in training.
    """

    width: int
    queries: int
    memories: int
    head_width: int
    biases: Biases = "all"
    norm_epsilon: float | None = None
    dropout: float = 0.0


class CachedAttention(nn.Module):
    """Grouped-query attention (Ainslie et al. 2023); with as many key as query heads, that of Vaswani et al. 2017."""

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self.heads = heads.queries
        self.kv_heads = heads.memories
        self.head_width = heads.head_width
        self.dropout = heads.dropout
        projected = (heads.queries + 2 * heads.memories) * heads.head_width  # queries, keys, values
        self.project = nn.Linear(heads.width, projected, bias=heads.biases != "none")
        self.merge = nn.Linear(heads.queries * heads.head_width, heads.width, bias=heads.biases == "all")
        self.query_norm, self.key_norm = None, None
        if heads.norm_epsilon is not None:
            self.query_norm = nn.RMSNorm(heads.head_width, eps=heads.norm_epsilon)
            self.key_norm = nn.RMSNorm(heads.head_width, eps=heads.norm_epsilon)

    def forward(self, x: Tensor, span: Span, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Attend from `x` [B, T, width] to the past and to itself.

        keys, values: caches [B, kv_heads, capacity, head_width]; capacity 0 keeps nothing and attends to `x` alone.
        Returns outputs [B, T, width] and the caches with this call's real tokens in them.
        """
        attend = self._exported if torch.compiler.is_exporting() else self._eager
        mixed, keys, values = attend(self.project(x), span, keys, values)
        return self.merge(mixed), keys, values

    def look(self, x: Tensor, span: Span) -> tuple[Tensor, Tensor]:
        """Attend from `x` [B, T, width] to itself alone; returns outputs, and the weights [B, heads, T, T]."""
        query, key, value = (part.transpose(1, 2) for part in self._split(self.project(x)))
        if span.rotations is not None:
            query, key = self._rotated(query, key, span)
        groups = self.heads // self.kv_heads
        key, value = (part.repeat_interleave(groups, dim=1) if groups > 1 else part for part in (key, value))
        places = torch.arange(x.shape[1], device=x.device)
        weights = weigh(query, key, places <= places[:, None], self.head_width**-0.5)
        return self.merge((weights @ value).transpose(1, 2).flatten(2)), weights

    def _exported(self, projected: Tensor, span: Span, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, time, _ = projected.shape
        made: list[Tensor | None] = [projected, None, None]
        if self.query_norm is not None:
            made = [part.flatten(2) for part in self._split(projected)]
        last = (span.position + span.lengths - 1).to(torch.int32)
        total = (span.position.max() + time).to(torch.int32)
        mixed, keys, values = torch.onnx.ops.symbolic_multi_out(
            "com.microsoft::GroupQueryAttention",
            [*made, keys, values, last, total, *(span.rotations or ())],
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
        query, key, value = (part.transpose(1, 2) for part in self._split(projected))  # [B, heads, T, head_width]
        if span.rotations is not None:
            query, key = (part.to(value.dtype) for part in self._rotated(query, key, span))
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

    @staticmethod
    def _rotated(query: Tensor, key: Tensor, span: Span) -> tuple[Tensor, Tensor]:
        """Rotate queries and keys [B, heads, T, head_width] by their places."""
        assert span.rotations is not None, "nothing rotates"
        places = span.places(len(span.rotations[0]))
        cosines, sines = (table[places][:, None] for table in span.rotations)
        return rotate(query, cosines, sines), rotate(key, cosines, sines)

    def _split(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys, both normalised where they are, and values: [B, T, heads, head_width]."""
        heads = projected.view(*projected.shape[:2], self.heads + 2 * self.kv_heads, self.head_width)
        query, key, value = torch.split(heads, [self.heads, self.kv_heads, self.kv_heads], dim=2)
        if self.query_norm is not None and self.key_norm is not None:
            # In mixed precision these come in half of it, and the norms' weights do not.
            query, key = self.query_norm(query.float()).to(value.dtype), self.key_norm(key.float()).to(value.dtype)
        return query, key, value


def _append(cache: Tensor, new: Tensor, span: Span) -> Tensor:
    """Return `cache` [B, heads, capacity, width] with the real tokens of `new` [B, heads, T, width] behind the past."""
    slots = torch.arange(cache.shape[2], device=cache.device)
    offsets = slots - span.position[:, None]  # [B, capacity]: which token of this call belongs into each slot
    fresh = (offsets >= 0) & (offsets < span.lengths[:, None])
    source = offsets.clamp(0, span.time - 1)[:, None, :, None].expand(-1, new.shape[1], -1, new.shape[3])
    return torch.where(fresh[:, None, :, None], new.gather(2, source).to(cache.dtype), cache)
