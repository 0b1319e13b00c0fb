"""The n-gram model: the next token from the last n - 1, by counting, with interpolated Witten-Bell smoothing.

The lowest orders are one dense table, every higher one a hash table of its likeliest continuations; all of it is tensor
code, so an n-gram model exports and runs as any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from bundle.manifest import StateSpec
from training.models.config import LanguageConfig
from training.models.context_table import ContextTable
from training.models.counting import CountingModel, bigram_counts, contexts, witten_bell_bigram
from training.models.step_model import State
from training.models.window import slide


class NgramConfig(LanguageConfig):
    """`ngram`: tables of a fixed size; contexts that find no room, and rarer successors, fall to the lower order."""

    vocabulary_size: int = Field(ge=2, le=4096, description="number of token ids; the bigrams are a dense table")
    order: int = Field(default=4, ge=2, le=8, description="n: tokens in an n-gram, the predicted one included")
    table_bits: int = Field(default=17, ge=4, le=24, description="log2 of the number of contexts kept for each order")
    successors: int = Field(default=16, ge=1, le=256, description="likeliest successors kept for each context")

    @model_validator(mode="after")
    def _contexts_are_numbers(self) -> NgramConfig:
        if self.vocabulary_size**self.order >= 2**63:
            raise ValueError(f"order {self.order} with {self.vocabulary_size} tokens: V^order must be below 2^63")
        return self


class Ngram(CountingModel):
    """Order 2 is dense; orders 3 … n are tables, each mixed over the one below."""

    bigram: Tensor  # [V, V] probabilities of the next token given the last

    def __init__(self, config: NgramConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary_size = size = config.vocabulary_size
        self.register_buffer("bigram", torch.full((size, size), 1 / size))
        limit = min(config.successors, size)
        tables = nn.ModuleList(ContextTable(config.table_bits, limit) for _ in range(config.order - 2))
        self.tables = cast("Sequence[ContextTable]", tables)

    def count(self, sequences: Iterable[Sequence[int]]) -> None:
        size = self.vocabulary_size
        keys, following = contexts(sequences, self.config.order, size)
        self.bigram.copy_(torch.from_numpy(witten_bell_bigram(bigram_counts(keys[0], following, size))))
        for table, key in zip(self.tables, keys[1:], strict=True):
            table.fill(key, following, size)

    @property
    def states(self) -> tuple[StateSpec, ...]:
        return (StateSpec(name="context", kind="recurrent", dtype="int64", shape=(self.config.order - 1,)),)

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        windows, context = slide(state["context"], tokens, lengths)
        return windows.float(), {"context": context}  # token ids are small enough for float32 to hold them exactly

    def logits(self, features: Tensor) -> Tensor:
        newest_first = features.long().flip(-1)
        key = newest_first[..., 0]
        probabilities = self.bigram[key]
        for age, table in enumerate(self.tables, start=1):
            key = key + newest_first[..., age] * self.vocabulary_size**age
            probabilities = table.mix(key, probabilities)
        return probabilities.log()
