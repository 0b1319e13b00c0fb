"""The latent autoregressive model: a hidden summary of the past, renewed from the summary before and the last token."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from bundle.manifest import StateSpec, ViewSpec
from training.models.config import Dropout, LanguageConfig, Width
from training.models.step_model import State, StepModel, Views
from training.models.unroll import unroll
from training.models.vocabulary import Vocabulary


class LatentConfig(LanguageConfig):
    """`latent`: h' = a · h + (1 - a) · tanh(W x + U h + b), each unit with a learned decay a of its own."""

    width: Width = Field(default=256, description="of embeddings, latent and features")
    slowest: float = Field(default=64.0, gt=1.0, le=1e6, description="longest memory at the start, in tokens")
    dropout: Dropout = Field(default=0.0, description="share of embeddings and features dropped in training")
    tied: bool = Field(default=True, description="one table for embeddings and logits")


class Latent(StepModel):
    """A cell of our own, in plain tensor code: the pattern to follow for any recurrence without a fused operator."""

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = config.vocabulary_size
        width = config.width
        self.vocabulary = Vocabulary(
            config.vocabulary_size, width, tied=config.tied, spread=width**-0.5, scale=width**0.5
        )
        self.input = nn.Linear(width, width)
        self.recurrent = nn.Linear(width, width, bias=False)
        nn.init.orthogonal_(self.recurrent.weight)
        # Memories of 1 to `slowest` tokens, evenly spread on a logarithmic scale: decay = 1 - 1 / memory.
        memory = config.slowest ** torch.linspace(0.1, 1.0, width)
        self.decay = nn.Parameter(torch.logit(1 - 1 / memory))
        self.dropout = nn.Dropout(config.dropout)

    @property
    def states(self) -> tuple[StateSpec, ...]:
        return (StateSpec(name="latent", kind="recurrent", dtype="float32", shape=(self.config.width,)),)

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        decay = torch.sigmoid(self.decay)

        def cell(x: Tensor, state: State) -> tuple[Tensor, State]:
            update = torch.tanh(x + self.recurrent(state["latent"]))
            latent = decay * state["latent"] + (1 - decay) * update
            return latent, {"latent": latent}

        inputs = self.input(self.dropout(self.vocabulary(tokens)))  # for all tokens at once, outside of the loop
        features, state = unroll(cell, inputs, lengths, state)
        return self.dropout(features).float(), state

    @property
    def views(self) -> tuple[ViewSpec, ...]:
        width = self.config.width
        return tuple(
            ViewSpec(name=name, kind="state", part="decoder", layer=0, size=width) for name in ("update", "latent")
        )

    def look(self, tokens: Tensor, state: State) -> tuple[Tensor, Views]:
        latents, _ = self.step(tokens, torch.full_like(tokens[:, 0], tokens.shape[1]), state)
        before = torch.cat((state["latent"][:, None], latents), dim=1)[:, :-1]
        update = torch.tanh(self.input(self.vocabulary(tokens)) + self.recurrent(before))
        return latents, {"decoder_0_update": update, "decoder_0_latent": latents}

    def logits(self, features: Tensor) -> Tensor:
        return self.vocabulary.logits(features)
