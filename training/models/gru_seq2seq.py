"""The encoder-decoder of GRUs with global attention (Luong et al. 2015), without input feeding.

The decoder's recurrence then depends on tokens alone and runs in the native operator for a whole prompt at once; each
of its outputs looks back at the source on its way to the logits. The encoder is the start graph.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from bundle.manifest import StateSpec, ViewSpec
from training.models.attention import attend, weigh
from training.models.config import Dropout, Layers, PairsConfig, Width
from training.models.native_rnn import NativeRNN
from training.models.reach import Reach
from training.models.step_model import SourceStepModel, State, Views
from training.models.vocabulary import Vocabulary


class GruSeq2seqConfig(PairsConfig):
    """`gru-seq2seq`: encoder and decoder with the same sizes."""

    width: Width = Field(default=192, description="of embeddings, states and features")
    layers: Layers = Field(default=1, description="of the encoder, and of the decoder")
    dropout: Dropout = Field(default=0.0, description="share dropped in training, between all layers")
    tied: bool = Field(default=True, description="one table for target embeddings and logits")


class GruSeq2seq(SourceStepModel):
    """State: the decoder's `h0`, `h1`, …, which start as the encoder's last, and the encoder's outputs, static."""

    def __init__(self, config: GruSeq2seqConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = config.vocabulary_size
        self.source_vocabulary_size = config.source_vocabulary_size
        self.source_limit = config.source_limit
        width = config.width
        self.source_vocabulary = nn.Embedding(config.source_vocabulary_size, width)  # unit variance
        self.vocabulary = Vocabulary(
            config.vocabulary_size, width, tied=config.tied, spread=width**-0.5, scale=width**0.5
        )
        self.encoder = NativeRNN("gru", width, width, config.layers, config.dropout)
        self.decoder = NativeRNN("gru", width, width, config.layers, config.dropout)
        self.score = nn.Linear(width, width, bias=False)  # the "general" score, h' W m
        self.combine = nn.Linear(2 * width, width, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    @property
    def states(self) -> tuple[StateSpec, ...]:
        memory = (self.source_limit, self.config.width)
        return (
            *self.decoder.states,
            StateSpec(name="memory_length", kind="static", dtype="int64", shape=()),
            StateSpec(name="memory", kind="static", dtype="float32", shape=memory, axis=0),
        )

    def freeze(self) -> None:
        self.encoder.freeze()
        self.decoder.freeze()

    def start(self, source: Tensor, lengths: Tensor) -> State:
        embedded = self.dropout(self.source_vocabulary(source))
        zeros = {spec.name: embedded.new_zeros(source.shape[0], *spec.shape) for spec in self.encoder.states}
        memory, state = self.encoder(embedded, lengths, zeros)
        return {**state, "memory_length": lengths.clone(), "memory": memory}

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        recurrent = {spec.name: state[spec.name] for spec in self.decoder.states}
        outputs, recurrent = self.decoder(self.dropout(self.vocabulary(tokens)), lengths, recurrent)
        outputs = self.dropout(outputs)
        context = self._attend(outputs, state["memory"], state["memory_length"])
        return self.dropout(self._features(context, outputs)), recurrent

    def _features(self, context: Tensor, outputs: Tensor) -> Tensor:
        return torch.tanh(self.combine(torch.cat((context, outputs), dim=-1))).float()

    @property
    def views(self) -> tuple[ViewSpec, ...]:
        # Of the decoder's layers the last one's outputs attend.
        last = self.config.layers - 1
        cross = ViewSpec(name="cross_attention", kind="cross", part="decoder", layer=last, size=1)
        return (*self.encoder.views("encoder"), *self.decoder.views("decoder"), cross)

    def look_at_source(self, source: Tensor) -> tuple[State, Views]:
        embedded = self.source_vocabulary(source)
        zeros = {spec.name: embedded.new_zeros(1, *spec.shape) for spec in self.encoder.states}
        memory, state, views = self.encoder.look(embedded, zeros, "encoder")
        return {**state, "memory": memory}, views

    def look(self, tokens: Tensor, state: State) -> tuple[Tensor, Views]:
        outputs, _, views = self.decoder.look(self.vocabulary(tokens), state, "decoder")
        memory = state["memory"][:, None]  # one head
        weights = weigh(self.score(outputs)[:, None], memory, scale=1.0)
        views[f"decoder_{self.config.layers - 1}_cross_attention"] = weights
        return self._features((weights @ memory)[:, 0], outputs), views

    def _attend(self, outputs: Tensor, memory: Tensor, lengths: Tensor) -> Tensor:
        """Return for each of `outputs` [B, T, width] the mean of the memory [B, S, width] by the softmax of scores."""
        reach = Reach.of(lengths, memory.shape[1], memory.shape[2])
        query, read = self.score(outputs)[:, None], reach.cut(memory[:, None])  # one head
        return attend(query, read, read, reach.mask, scale=1.0)[:, 0]

    def logits(self, features: Tensor) -> Tensor:
        return self.vocabulary.logits(features)
