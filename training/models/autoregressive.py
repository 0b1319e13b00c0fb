"""The AR(τ) model: the next token from the last τ tokens, by a perceptron (Bengio et al. 2003)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from bundle.manifest import StateSpec, ViewSpec
from training.models.config import Dropout, LanguageConfig, Width
from training.models.step_model import State, StepModel, Views
from training.models.vocabulary import Vocabulary
from training.models.window import slide


class AutoregressiveConfig(LanguageConfig):
    """`ar`: a perceptron over the embeddings of the last `window` tokens, side by side."""

    window: int = Field(default=8, ge=1, le=1024, description="τ: how many tokens the model sees")
    width: Width = Field(default=128, description="of embeddings and features")
    hidden: Width = Field(default=512, description="units in the perceptron's hidden layer")
    dropout: Dropout = Field(default=0.0, description="share of hidden units dropped in training")


class Autoregressive(StepModel):
    """The state is the window itself; before the first token it holds zeros."""

    def __init__(self, config: AutoregressiveConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = config.vocabulary_size
        self.vocabulary = Vocabulary(config.vocabulary_size, config.width, tied=False, spread=1.0)
        self.perceptron = nn.Sequential(
            nn.Linear(config.window * config.width, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.width),
            nn.GELU(),
        )

    @property
    def states(self) -> tuple[StateSpec, ...]:
        return (StateSpec(name="context", kind="recurrent", dtype="int64", shape=(self.config.window,)),)

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        windows, context = slide(state["context"], tokens, lengths)
        features = self.perceptron(self.vocabulary(windows).flatten(2)).float()
        return features, {"context": context}

    @property
    def views(self) -> tuple[ViewSpec, ...]:
        return (ViewSpec(name="hidden", kind="state", part="decoder", layer=0, size=self.config.hidden),)

    def look(self, tokens: Tensor, state: State) -> tuple[Tensor, Views]:
        windows, _ = slide(state["context"], tokens, torch.full_like(tokens[:, 0], tokens.shape[1]))
        into, activate, *behind = self.perceptron
        hidden = activate(into(self.vocabulary(windows).flatten(2)))
        features = hidden
        for layer in behind:
            features = layer(features)
        return features.float(), {"decoder_0_hidden": hidden}

    def logits(self, features: Tensor) -> Tensor:
        return self.vocabulary.logits(features)
