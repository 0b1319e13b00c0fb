"""The decoder-only Transformer: pre-norm blocks of cached self-attention and feed-forward layers.

Positions, norms, activation and the number of key and value heads are the config's choice, so the model of GPT-2 and
that of Llama are two configs of one file.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from bundle.manifest import StateSpec, ViewSpec
from training.models.cached_attention import Biases, CachedAttention, Heads, Span
from training.models.config import NO_FLAG, Dropout, LanguageConfig, Layers, Limit, Width
from training.models.feed_forward import Activation, FeedForward, Norm, normalisation
from training.models.heads import check_heads, initialise
from training.models.positions import frequencies, rotations, sinusoids
from training.models.step_model import State, StepModel, Views
from training.models.vocabulary import Vocabulary


class TransformerLmConfig(LanguageConfig):
    """`transformer-lm`: a causal Transformer."""

    width: Width = Field(default=256, description="of the residual stream")
    heads: int = Field(
        default=4, ge=1, le=1024, description="query heads; width / heads is a multiple of 8, for RoPE 16"
    )
    kv_heads: int | None = Field(
        default=None, ge=1, description="key and value heads, a divisor of heads; default heads"
    )
    layers: Layers = Field(default=4, description="blocks")
    hidden: Width | None = Field(
        default=None, description="units in a feed-forward layer; default 4 × width, gated 8/3 × width"
    )
    head_width: Width | None = Field(default=None, description="of a query, a key and a value; default width / heads")
    positions: Literal["rope", "sinusoidal", "learned"] = Field(default="rope", description="how order is told")
    rope_base: float = Field(default=10_000.0, gt=1.0, description="of the wavelengths of rotary positions")
    rope_frequencies: tuple[float, ...] | None = Field(
        default=None, description="of rotary positions, in radians per token, instead of those of the base", **NO_FLAG
    )
    rope_magnitude: float = Field(default=1.0, gt=0.0, description="factor on rotated queries and keys", **NO_FLAG)
    norm: Norm = Field(default="rms", description="before each layer and at the end")
    norm_epsilon: float = Field(default=1e-5, gt=0.0, description="added to a norm's variance", **NO_FLAG)
    query_key_norm: bool = Field(default=False, description="an RMSNorm over each query and each key")
    activation: Activation = Field(default="swiglu", description="of the feed-forward layers")
    attention_biases: Biases = Field(default="all", description="which products of attention add a bias")
    feed_forward_biases: bool = Field(default=True, description="whether feed-forward layers add biases")
    output_bias: bool = Field(default=True, description="whether the logits add a bias")
    embedding_scale: float | None = Field(
        default=None, gt=0.0, description="factor on embeddings; default the square root of the width", **NO_FLAG
    )
    dropout: Dropout = Field(default=0.0, description="share dropped in training")
    tied: bool = Field(default=True, description="one table for embeddings and logits")
    context_limit: Limit = Field(default=512, description="most tokens a row may consume")

    @model_validator(mode="after")
    def _heads_fit(self) -> TransformerLmConfig:
        multiple = 16 if self.positions == "rope" else 8
        check_heads(self.width, self.heads, self.groups, multiple, self.head_width)
        if self.rope_frequencies is not None and len(self.rope_frequencies) != self.attention.head_width // 2:
            given, needed = len(self.rope_frequencies), self.attention.head_width // 2
            raise ValueError(f"rope_frequencies: {given} given, half the width of a head, {needed}, needed")
        return self

    @property
    def attention(self) -> Heads:
        """Of every block."""
        return Heads(
            width=self.width,
            queries=self.heads,
            memories=self.groups,
            head_width=self.head_width or self.width // self.heads,
            biases=self.attention_biases,
            norm_epsilon=self.norm_epsilon if self.query_key_norm else None,
            dropout=self.dropout,
        )

    @property
    def groups(self) -> int:
        return self.kv_heads or self.heads

    @property
    def units(self) -> int:
        """Of the feed-forward layers; gated they have three matrices, so two thirds of the units weigh the same."""
        gated = -(-self.width * 8 // (3 * 32)) * 32  # rounded up to a multiple of 32
        return self.hidden or (gated if self.activation == "swiglu" else 4 * self.width)


class TransformerLm(StepModel):
    """State: the `position` and, for each layer, the caches of keys and values."""

    chunk = "single"
    positions: Tensor
    cosines: Tensor
    sines: Tensor

    def __init__(self, config: TransformerLmConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = config.vocabulary_size
        self.context_limit = config.context_limit
        width = config.width
        self.vocabulary = Vocabulary(
            config.vocabulary_size,
            width,
            tied=config.tied,
            spread=0.4 * width**-0.5,
            scale=config.embedding_scale or width**0.5,
            bias=config.output_bias,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.norm = normalisation(config.norm, config.width, config.norm_epsilon)
        self._make_positions()
        initialise(self.blocks, config.layers)

    def _make_positions(self) -> None:
        limit, width = self.config.context_limit, self.config.width
        if self.config.positions == "learned":
            self.positions = nn.Parameter(torch.empty(limit, width).normal_(std=0.4))
        elif self.config.positions == "sinusoidal":
            self.register_buffer("positions", sinusoids(limit, width), persistent=False)
        else:
            turning = frequencies(self.config.attention.head_width, self.config.rope_base)
            if self.config.rope_frequencies is not None:
                turning = torch.tensor(self.config.rope_frequencies, dtype=torch.float64)
            cosines, sines = rotations(limit, turning, self.config.rope_magnitude)
            self.register_buffer("cosines", cosines, persistent=False)
            self.register_buffer("sines", sines, persistent=False)

    @property
    def states(self) -> tuple[StateSpec, ...]:
        config = self.config
        shape = (config.groups, config.context_limit, config.attention.head_width)
        caches = (
            StateSpec(name=f"{part}_{index}", kind="cache", dtype="float32", shape=shape, axis=1)
            for index in range(config.layers)
            for part in ("key", "value")
        )
        return (StateSpec(name="position", kind="recurrent", dtype="int64", shape=(), counter=True), *caches)

    @property
    def shard_units(self) -> tuple[nn.Module, ...]:
        return tuple(self.blocks)

    @property
    def views(self) -> tuple[ViewSpec, ...]:
        heads, layers = self.config.heads, range(self.config.layers)
        return tuple(
            ViewSpec(name="self_attention", kind="decoder_self", part="decoder", layer=layer, size=heads)
            for layer in layers
        )

    def look(self, tokens: Tensor, state: State) -> tuple[Tensor, Views]:
        span = self._span(tokens, torch.full_like(state["position"], tokens.shape[1]), state)
        x = self._embedded(tokens, span)
        views = {}
        for layer, block in enumerate(self.blocks):
            x, views[f"decoder_{layer}_self_attention"] = cast("_Block", block).look(x, span)
        return self.norm(x).float(), views

    def _span(self, tokens: Tensor, lengths: Tensor, state: State) -> Span:
        rotary = (self.cosines, self.sines) if self.config.positions == "rope" else None
        return Span(state["position"], lengths, tokens.shape[1], rotary)

    def _embedded(self, tokens: Tensor, span: Span) -> Tensor:
        x = self.vocabulary(tokens)
        if span.rotations is None:
            x = x + self.positions[span.places(self.config.context_limit)]
        dropped: Tensor = self.dropout(x)
        return dropped

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        span = self._span(tokens, lengths, state)
        x = self._embedded(tokens, span)
        new = {"position": state["position"] + lengths}
        for index, block in enumerate(self.blocks):
            key, value = f"key_{index}", f"value_{index}"
            x, new[key], new[value] = block(x, span, state[key], state[value])
        return self.norm(x).float(), new

    def logits(self, features: Tensor) -> Tensor:
        return self.vocabulary.logits(features)


class _Block(nn.Module):
    def __init__(self, config: TransformerLmConfig) -> None:
        super().__init__()
        self.attention_norm = normalisation(config.norm, config.width, config.norm_epsilon)
        self.attention = CachedAttention(config.attention)
        self.feed_forward_norm = normalisation(config.norm, config.width, config.norm_epsilon)
        self.feed_forward = FeedForward(
            config.width, config.units, config.activation, config.dropout, config.feed_forward_biases
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, span: Span, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mixed, keys, values = self.attention(self.attention_norm(x), span, keys, values)
        return self._behind(x, mixed), keys, values

    def look(self, x: Tensor, span: Span) -> tuple[Tensor, Tensor]:
        """Map `x` [1, T, width] behind no past, as `forward` does; returns the weights of attention with it."""
        mixed, weights = self.attention.look(self.attention_norm(x), span)
        return self._behind(x, mixed), weights

    def _behind(self, x: Tensor, mixed: Tensor) -> Tensor:
        x = x + self.dropout(mixed)
        out: Tensor = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        return out
