"""The encoder-decoder Transformer of Vaswani et al. 2017: sinusoidal positions, post-norm, ReLU, cross-attention.

The encoder is the start graph. It also computes the keys and values that cross-attention reads, once for a source;
each step of the decoder then only reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from bundle.manifest import StateSpec, ViewSpec
from training.models.cached_attention import Span
from training.models.config import NO_FLAG, Dropout, Layers, Limit, PairsConfig, Width
from training.models.feed_forward import Activation
from training.models.heads import check_heads
from training.models.positions import sinusoids
from training.models.reach import Reach
from training.models.step_model import SourceStepModel, State, Views
from training.models.transformer_blocks import BlockSizes, DecoderBlock, EncoderBlock
from training.models.vocabulary import Vocabulary


class TransformerConfig(PairsConfig):
    """`transformer`: encoder and decoder with the same sizes."""

    width: Width = Field(default=128, description="of the residual streams")
    heads: int = Field(default=4, ge=1, le=1024, description="of every attention; width / heads is a multiple of 8")
    layers: Layers = Field(default=2, description="blocks of the encoder, and of the decoder")
    hidden: Width | None = Field(default=None, description="units in a feed-forward layer; default 4 × width")
    activation: Activation = Field(default="relu", description="of the feed-forward layers")
    sinusoids: Literal["interleaved", "halves"] = Field(
        default="interleaved", description="order of sines and cosines in the encoding of positions", **NO_FLAG
    )
    embedding_scale: float | None = Field(
        default=None, gt=0.0, description="factor on embeddings; default the square root of the width", **NO_FLAG
    )
    norm_first: bool = Field(default=False, description="norms before the layers instead of behind the residual sums")
    dropout: Dropout = Field(default=0.0, description="share dropped in training")
    tied: bool = Field(default=True, description="one table for target embeddings and logits")
    context_limit: Limit = Field(default=128, description="most target tokens a row may consume")

    @model_validator(mode="after")
    def _heads_fit(self) -> TransformerConfig:
        check_heads(self.width, self.heads, self.heads, multiple=8)
        return self


class Transformer(SourceStepModel):
    """State: position and caches as in every decoder, and the source's keys and values, static, with their length."""

    chunk = "single"
    positions: Tensor

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = config.vocabulary_size
        self.source_vocabulary_size = config.source_vocabulary_size
        self.context_limit = config.context_limit
        self.source_limit = config.source_limit
        width, spread = config.width, 0.4 * config.width**-0.5
        self.embedding_scale = config.embedding_scale or width**0.5
        self.source_vocabulary = nn.Embedding(config.source_vocabulary_size, width)
        nn.init.normal_(self.source_vocabulary.weight, std=spread)
        self.vocabulary = Vocabulary(
            config.vocabulary_size, width, tied=config.tied, spread=spread, scale=self.embedding_scale
        )
        self.dropout = nn.Dropout(config.dropout)
        sizes = BlockSizes(
            width, config.heads, config.hidden or 4 * width, config.activation, config.dropout, config.norm_first
        )
        encoder = nn.ModuleList(EncoderBlock(sizes) for _ in range(config.layers))
        decoder = nn.ModuleList(DecoderBlock(sizes) for _ in range(config.layers))
        self.encoder, self.decoder = cast("Sequence[EncoderBlock]", encoder), cast("Sequence[DecoderBlock]", decoder)
        last = nn.LayerNorm if config.norm_first else nn.Identity  # post-norm blocks have normalised already
        self.encoder_norm, self.decoder_norm = last(width), last(width)
        longest = max(config.source_limit, config.context_limit)
        positions = sinusoids(longest, width, halves=config.sinusoids == "halves")
        self.register_buffer("positions", positions, persistent=False)
        for module in (*encoder.modules(), *decoder.modules()):
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    @property
    def states(self) -> tuple[StateSpec, ...]:
        config = self.config
        head_width = config.width // config.heads
        cache, memory = ((config.heads, limit, head_width) for limit in (config.context_limit, config.source_limit))
        specs = [
            StateSpec(name="position", kind="recurrent", dtype="int64", shape=(), counter=True),
            StateSpec(name="memory_length", kind="static", dtype="int64", shape=()),
        ]
        for index in range(config.layers):
            for part in ("key", "value"):
                specs += [
                    StateSpec(name=f"{part}_{index}", kind="cache", dtype="float32", shape=cache, axis=1),
                    StateSpec(name=f"memory_{part}_{index}", kind="static", dtype="float32", shape=memory, axis=1),
                ]
        return tuple(specs)

    @property
    def shard_units(self) -> tuple[nn.Module, ...]:
        # Not whole decoder blocks: the weights that read the source are used at the start already.
        parts = (part for block in self.decoder for part in (block.attention, block.feed_forward))
        return (*self.encoder, *parts)

    @property
    def views(self) -> tuple[ViewSpec, ...]:
        heads, layers = self.config.heads, range(self.config.layers)
        encoder = (
            ViewSpec(name="self_attention", kind="encoder_self", part="encoder", layer=layer, size=heads)
            for layer in layers
        )
        decoder = (
            ViewSpec(name=name, kind=kind, part="decoder", layer=layer, size=heads)
            for layer in layers
            for name, kind in (("self_attention", "decoder_self"), ("cross_attention", "cross"))
        )
        return (*encoder, *decoder)

    def start(self, source: Tensor, lengths: Tensor) -> State:
        places = torch.arange(source.shape[1], device=source.device)
        x = self._embedded(source)
        mask = (places < lengths[:, None])[:, None, None]  # [B, 1, 1, S]
        for block in self.encoder:
            x = block(x, mask)
        return self._initial(x, lengths)

    def look_at_source(self, source: Tensor) -> tuple[State, Views]:
        x = self._embedded(source)
        views = {}
        for layer, block in enumerate(self.encoder):
            x, views[f"encoder_{layer}_self_attention"] = block.look(x)
        return self._initial(x, torch.full((1,), source.shape[1], device=source.device)), views

    def _embedded(self, source: Tensor) -> Tensor:
        embedded = self.source_vocabulary(source) * self.embedding_scale
        placed: Tensor = self.dropout(embedded + self.positions[: source.shape[1]])
        return placed

    def _initial(self, x: Tensor, lengths: Tensor) -> State:
        """Return the state that decoding starts from, given what the last block of the encoder gave."""
        memory = self.encoder_norm(x)
        state = {"position": torch.zeros_like(lengths), "memory_length": lengths.clone()}
        for index, reader in enumerate(self.decoder):
            keys, values = reader.cross_attention.memory(memory)
            state |= {f"memory_key_{index}": keys.float(), f"memory_value_{index}": values.float()}
        return state

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        span = Span(state["position"], lengths, tokens.shape[1])
        x = self.dropout(self.vocabulary(tokens) + self.positions[span.places(self.config.context_limit)])
        capacity, head_width = state["memory_key_0"].shape[2:]
        reach = Reach.of(state["memory_length"], capacity, head_width, span.decodes())
        new = {"position": state["position"] + lengths}
        for index, block in enumerate(self.decoder):
            key, value = f"key_{index}", f"value_{index}"
            caches = (state[key], state[value])
            memory = (state[f"memory_{key}"], state[f"memory_{value}"])
            x, new[key], new[value] = block(x, span, caches, memory, reach)
        return self.decoder_norm(x).float(), new

    def look(self, tokens: Tensor, state: State) -> tuple[Tensor, Views]:
        span = Span(state["position"], torch.full_like(state["position"], tokens.shape[1]), tokens.shape[1])
        x = self.vocabulary(tokens) + self.positions[: tokens.shape[1]]
        views = Views()
        for layer, block in enumerate(self.decoder):
            memory = (state[f"memory_key_{layer}"], state[f"memory_value_{layer}"])
            x, own, cross = block.look(x, span, memory)
            views |= {f"decoder_{layer}_self_attention": own, f"decoder_{layer}_cross_attention": cross}
        return self.decoder_norm(x).float(), views

    def logits(self, features: Tensor) -> Tensor:
        return self.vocabulary.logits(features)
