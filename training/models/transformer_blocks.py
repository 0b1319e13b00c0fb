"""The blocks of the encoder-decoder Transformer: its layers, each with a residual sum and a norm, after or before.

Knows nothing about tokens or named states.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from training.models.attention import Attention
from training.models.cached_attention import CachedAttention, Heads, Span
from training.models.feed_forward import Activation, FeedForward
from training.models.reach import Reach


class Residual(nn.Module):
    """What stands around a layer: norm(x + layer(x)), or with `norm_first` x + layer(norm(x))."""

    def __init__(self, width: int, dropout: float, norm_first: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first

    def enter(self, x: Tensor) -> Tensor:
        """Return what the layer reads."""
        entered: Tensor = self.norm(x) if self.norm_first else x
        return entered

    def forward(self, x: Tensor, layer_output: Tensor) -> Tensor:
        """Join the stream with what the layer gave."""
        x = x + self.dropout(layer_output)
        joined: Tensor = x if self.norm_first else self.norm(x)
        return joined


@dataclass(frozen=True, slots=True)
class BlockSizes:
    """What all blocks of a model share: widths of the stream and of feed-forward layers, heads, and where norms are."""

    width: int
    heads: int
    hidden: int
    activation: Activation
    dropout: float
    norm_first: bool


class EncoderBlock(nn.Module):
    """Self-attention over the whole source, feed-forward."""

    def __init__(self, sizes: BlockSizes) -> None:
        super().__init__()
        width, heads, dropout = sizes.width, sizes.heads, sizes.dropout
        self.attention = Attention(width, heads, dropout)
        self.attention_residual = Residual(width, dropout, sizes.norm_first)
        self.feed_forward = FeedForward(width, sizes.hidden, sizes.activation, dropout)
        self.feed_forward_residual = Residual(width, dropout, sizes.norm_first)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map `x` [B, S, width], real where `mask` [B, 1, 1, S] is true, to the same shape."""
        entered = self.attention_residual.enter(x)
        return self._behind(x, self.attention(entered, *self.attention.memory(entered), mask))

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map `x` [1, S, width], all real, as `forward` does; returns the weights of attention with it."""
        entered = self.attention_residual.enter(x)
        mixed, weights = self.attention.look(entered, *self.attention.memory(entered))
        return self._behind(x, mixed), weights

    def _behind(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Return what comes out of the block, given its input and its attention's output."""
        x = self.attention_residual(x, mixed)
        out: Tensor = self.feed_forward_residual(x, self.feed_forward(self.feed_forward_residual.enter(x)))
        return out


class DecoderBlock(nn.Module):
    """Cached self-attention, attention to the source, feed-forward."""

    def __init__(self, sizes: BlockSizes) -> None:
        super().__init__()
        width, heads, dropout = sizes.width, sizes.heads, sizes.dropout
        self.attention = CachedAttention(Heads(width, heads, heads, width // heads, dropout=dropout))
        self.attention_residual = Residual(width, dropout, sizes.norm_first)
        self.cross_attention = Attention(width, heads, dropout)
        self.cross_residual = Residual(width, dropout, sizes.norm_first)
        self.feed_forward = FeedForward(width, sizes.hidden, sizes.activation, dropout)
        self.feed_forward_residual = Residual(width, dropout, sizes.norm_first)

    def forward(
        self, x: Tensor, span: Span, caches: tuple[Tensor, Tensor], memory: tuple[Tensor, Tensor], reach: Reach
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map `x` [B, T, width] to the same shape; returns it and the caches of keys and values.

        memory: keys and values of the source [B, heads, S, head_width], real as far as `reach` tells.
        """
        mixed, keys, values = self.attention(self.attention_residual.enter(x), span, *caches)
        x = self.attention_residual(x, mixed)
        x = self.cross_residual(x, self.cross_attention.read(self.cross_residual.enter(x), *memory, reach))
        x = self.feed_forward_residual(x, self.feed_forward(self.feed_forward_residual.enter(x)))
        return x, keys, values

    def look(self, x: Tensor, span: Span, memory: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Map `x` [1, T, width] behind no past, and a source that is all real, as `forward` does.

        Returns with it the weights of self-attention [1, heads, T, T] and of cross-attention [1, heads, T, S].
        """
        mixed, own = self.attention.look(self.attention_residual.enter(x), span)
        x = self.attention_residual(x, mixed)
        mixed, cross = self.cross_attention.look(self.cross_residual.enter(x), *memory)
        x = self.cross_residual(x, mixed)
        x = self.feed_forward_residual(x, self.feed_forward(self.feed_forward_residual.enter(x)))
        return x, own, cross
