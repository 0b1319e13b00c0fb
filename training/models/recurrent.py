"""Recurrent language models on fused operators: RNN (logistic, tanh, ReLU), LSTM and GRU.

One model, three configs. LSTM: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000. GRU: Cho et
al. 2014, with the reset gate behind the matrix product, as fused kernels have it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from bundle.manifest import StateSpec, ViewSpec
from training.models.config import Dropout, LanguageConfig, Layers, Width
from training.models.native_rnn import Kind, NativeRNN
from training.models.step_model import State, StepModel, Views
from training.models.vocabulary import Vocabulary


class RecurrentConfig(LanguageConfig):
    """What RNN, LSTM and GRU have in common."""

    width: Width = Field(default=384, description="of embeddings, states and features")
    layers: Layers = Field(default=1, description="recurrent layers, one above the other")
    dropout: Dropout = Field(default=0.0, description="share dropped in training, between all layers")
    tied: bool = Field(default=True, description="one table for embeddings and logits")

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """Which operator."""

    @property
    def gain(self) -> float:
        return 1.0


class RnnConfig(RecurrentConfig):
    """`rnn`: h' = f(W x + U h + b), the plain recurrence of Elman 1990."""

    activation: Literal["sigmoid", "tanh", "relu"] = Field(default="tanh", description="f")
    recurrent_gain: float = Field(
        default=1.0, gt=0.0, le=10.0, description="of the orthogonal U at the start: gradients shrink below, grow above"
    )

    @property
    def kind(self) -> Kind:
        return _RNN_KINDS[self.activation]

    @property
    def gain(self) -> float:
        return self.recurrent_gain


class LstmConfig(RecurrentConfig):
    """`lstm`: long short-term memory."""

    @property
    def kind(self) -> Kind:
        return "lstm"


class GruConfig(RecurrentConfig):
    """`gru`: gated recurrent units."""

    @property
    def kind(self) -> Kind:
        return "gru"


_RNN_KINDS: dict[str, Kind] = {"sigmoid": "rnn-sigmoid", "tanh": "rnn-tanh", "relu": "rnn-relu"}


class Recurrent(StepModel):
    """Embedding, a stack of recurrent layers, logits."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = config.vocabulary_size
        width = config.width
        self.vocabulary = Vocabulary(
            config.vocabulary_size, width, tied=config.tied, spread=width**-0.5, scale=width**0.5
        )
        self.recurrence = NativeRNN(config.kind, width, width, config.layers, config.dropout, config.gain)
        self.dropout = nn.Dropout(config.dropout)

    @property
    def states(self) -> tuple[StateSpec, ...]:
        return self.recurrence.states

    def freeze(self) -> None:
        self.recurrence.freeze()

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        outputs, state = self.recurrence(self.dropout(self.vocabulary(tokens)), lengths, state)
        return self.dropout(outputs), state

    @property
    def views(self) -> tuple[ViewSpec, ...]:
        return self.recurrence.views("decoder")

    def look(self, tokens: Tensor, state: State) -> tuple[Tensor, Views]:
        outputs, _, views = self.recurrence.look(self.vocabulary(tokens), state, "decoder")
        return outputs, views

    def logits(self, features: Tensor) -> Tensor:
        return self.vocabulary.logits(features)
