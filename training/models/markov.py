"""The Markov chain: the next token from the last one, by counting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from bundle.manifest import StateSpec
from training.models.config import LanguageConfig
from training.models.counting import CountingModel, bigram_counts, contexts, witten_bell_bigram
from training.models.step_model import State
from training.models.window import slide


class MarkovConfig(LanguageConfig):
    """`markov`: a dense table of transitions, V × V."""

    vocabulary_size: int = Field(ge=2, le=4096, description="number of token ids; the table grows with its square")


class Markov(CountingModel):
    """A chain of order 1 whose transition probabilities are smoothed with the unigram's."""

    log_probabilities: Tensor  # [V, V], of the next token given the last

    def __init__(self, config: MarkovConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = size = config.vocabulary_size
        self.register_buffer("log_probabilities", torch.full((size, size), 1 / size).log())

    def count(self, sequences: Iterable[Sequence[int]]) -> None:
        (previous,), following = contexts(sequences, 2, self.vocabulary_size)
        probabilities = witten_bell_bigram(bigram_counts(previous, following, self.vocabulary_size))
        self.log_probabilities.copy_(torch.from_numpy(np.log(probabilities)))

    @property
    def states(self) -> tuple[StateSpec, ...]:
        return (StateSpec(name="context", kind="recurrent", dtype="int64", shape=(1,)),)

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        windows, context = slide(state["context"], tokens, lengths)
        return windows.float(), {"context": context}  # token ids are small enough for float32 to hold them exactly

    def logits(self, features: Tensor) -> Tensor:
        return self.log_probabilities[features[..., 0].long()]
