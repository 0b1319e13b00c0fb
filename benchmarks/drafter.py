"""A model that drafts for SmolLM2: a trigram table over its vocabulary, counted on the Python library's own source.

The families of training/ keep all bigrams in a dense table, which 49,152 tokens do not allow; this one falls back from
trigrams to bigrams to single tokens, each but the last a hash table of the likeliest successors. It counts in a minute,
and a step is a few look-ups.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bundle.folder import TOKENIZER
from bundle.manifest import StateSpec, Training
from export.subject import Subject
from export.write import Target, write_bundle
from training.corpus import read_corpus
from training.models.context_table import ContextTable
from training.models.counting import contexts
from training.models.step_model import State, StepModel
from training.models.window import slide
from training.run import Run
from training.tokenization import encode, load_tokenizer

ORDER, TABLE_BITS, SUCCESSORS = 3, 18, 8


class Trigram(StepModel):
    """Probabilities of the next token after the last two. State: these two."""

    single: Tensor  # [V] probabilities of a token whatever stands before

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.register_buffer("single", torch.full((vocabulary_size,), 1 / vocabulary_size))
        self.tables = torch.nn.ModuleList(ContextTable(TABLE_BITS, SUCCESSORS) for _ in range(ORDER - 1))

    def count(self, sequences: Iterable[Sequence[int]]) -> None:
        """Count whole sequences of token ids."""
        size = self.vocabulary_size
        keys, following = contexts(sequences, ORDER, size)
        counts = np.bincount(following, minlength=size) + 1
        self.single.copy_(torch.from_numpy(counts / counts.sum()))
        for table, key in zip(self.tables, keys, strict=True):
            assert isinstance(table, ContextTable)
            table.fill(key, following, size)

    @property
    def states(self) -> tuple[StateSpec, ...]:
        return (StateSpec(name="context", kind="recurrent", dtype="int64", shape=(ORDER - 1,)),)

    def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        windows, context = slide(state["context"], tokens, lengths)
        return windows.float(), {"context": context}

    def logits(self, features: Tensor) -> Tensor:
        newest_first = features.long().flip(-1)
        key, probabilities = newest_first[..., 0], self.single.expand(*features.shape[:-1], -1)
        for age, table in enumerate(self.tables, start=1):
            assert isinstance(table, ContextTable)
            probabilities = table.mix(key, probabilities)
            if age < ORDER - 1:
                key = key + newest_first[..., age] * self.vocabulary_size**age
        return probabilities.log()


def write_drafter(run: Run, target: Target) -> None:
    """Count and export a drafter with the tokenizer of `run`."""
    texts = read_corpus("stdlib").documents
    model = Trigram(run.model.vocabulary_size)
    model.count([ids.astype(np.int64).tolist() for ids in encode(load_tokenizer(run.path / TOKENIZER), texts)])
    subject = Subject(
        model=model.eval(),
        family="trigram",
        tokenizer=Path(run.tokenizer),
        source_tokenizer=None,
        special_tokens=run.special_tokens,
        training=Training(parameters=0, data="stdlib"),
    )
    write_bundle(subject, target)
