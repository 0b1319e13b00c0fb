"""The naive sequence model: the next token from the mean of everything before it, in no order.

The simplest model that takes inputs of any length; the floor that the others have to beat.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from bundle.manifest import StateSpec, ViewSpec
from training.models.config import Dropout, LanguageConfig, Width
from training.models.step_model import State, StepModel, Views
from training.models.vocabulary import Vocabulary


class NaiveConfig(LanguageConfig):
    """`naive`: a multilayer perceptron over the mean of the embeddings of all the past."""

    width: Width = Field(default=256, description="of embeddings, of their sum, and of the features")
    hidden: Width = Field(default=512, description="units in the perceptron's hidden layer")
    dropout: Dropout = Field(default=0.0, description="share of hidden units dropped in training")


class Naive(StepModel):
    """Sums the embeddings, so the state is the sum and the `count` of what was summed."""

    def __init__(self, config: NaiveConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = config.vocabulary_size
        self.vocabulary = Vocabulary(config.vocabulary_size, config.width, tied=False, spread=1.0)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(config.width),
            nn.Linear(config.width, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.width),
            nn.GELU(),
        )

    @property
    def states(self) -> tuple[StateSpec, ...]:
        return (
            StateSpec(name="total", kind="recurrent", dtype="float32", shape=(self.config.width,)),
            StateSpec(name="count", kind="recurrent", dtype="int64", shape=()),
        )

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        means, total = self._means(tokens, lengths, state)
        return self.perceptron(means).float(), {"total": total, "count": state["count"] + lengths}

    def _means(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """Return the mean of all embeddings up to each position [B, T, width], and the sum of all [B, width]."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        real = (places < lengths[:, None])[..., None]  # [B, T, 1]
        embedded = self.vocabulary(tokens).float() * real
        # The old total is the first term of the running sum: it adds up in one order, however a sequence is cut.
        totals = torch.cat((state["total"][:, None], embedded), dim=1).cumsum(dim=1)[:, 1:]
        counts = (state["count"][:, None] + places + 1)[..., None]
        return totals / counts, totals[:, -1]

    @property
    def views(self) -> tuple[ViewSpec, ...]:
        return (ViewSpec(name="mean", kind="state", part="decoder", layer=0, size=self.config.width),)

    def look(self, tokens: Tensor, state: State) -> tuple[Tensor, Views]:
        means, _ = self._means(tokens, torch.full_like(tokens[:, 0], tokens.shape[1]), state)
        return self.perceptron(means).float(), {"decoder_0_mean": means}

    def logits(self, features: Tensor) -> Tensor:
        return self.vocabulary.logits(features)
