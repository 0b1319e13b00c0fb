"""What is measured on held-out data: the loss in every unit people compare, and decoded targets where there are any.

Knows nothing about optimizers or files.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Protocol

import torch
from tokenizers import Tokenizer

from training.batches import Batch
from training.dataset import PairsDataset
from training.models.step_model import SourceStepModel
from training.objective import Objective
from training.threads import Threads
from training.translation import score, translate

_LARGEST = 700.0  # exp of more is not a float


class Validation(Protocol):
    """What training by gradient asks at each validation beside the loss."""

    tokens_per_byte: float

    def decoded(self, objective: Objective, *, everything: bool) -> dict[str, float]:
        """Return measures on decoded text; `everything`: on all the held-out data and not a sample."""
        ...


class LanguageValidation:
    """A language model's loss says it all."""

    def __init__(self, tokens_per_byte: float) -> None:
        self.tokens_per_byte = tokens_per_byte

    def decoded(self, objective: Objective, *, everything: bool) -> dict[str, float]:
        return {}


class PairsValidation:
    """An encoder-decoder also decodes held-out sources, greedily.

    Args:
        dataset: whose validation pairs are decoded.
        tokenizer: of the target.
        sample: pairs decoded when not everything is asked.
    """

    def __init__(self, dataset: PairsDataset, tokenizer: Tokenizer, sample: int) -> None:
        self.tokens_per_byte = dataset.tokens_per_byte
        self._dataset = dataset
        self._tokenizer = tokenizer
        self._sample = sample
        # A text longer than any reference cannot be right; a little more room shows that it is wrong.
        self._limit = max(len(target) for _, target in dataset.validation) + 2

    def decoded(self, objective: Objective, *, everything: bool) -> dict[str, float]:
        model = objective.model
        assert isinstance(model, SourceStepModel)
        count = len(self._dataset.validation) if everything else self._sample
        sources = [source for source, _ in self._dataset.validation[:count]]
        limit = min(self._limit, model.context_limit or self._limit)
        texts = translate(model, self._tokenizer, sources, limit)
        return score(texts, self._dataset.references[:count])


def loss_metrics(nats: float, tokens: float, tokens_per_byte: float) -> dict[str, float]:
    """Return validation_loss (nats per token), perplexity and bits_per_byte of `tokens` tokens that cost `nats`."""
    loss = nats / tokens
    return {
        "validation_loss": loss,
        "perplexity": math.exp(min(loss, _LARGEST)),
        "bits_per_byte": loss * tokens_per_byte / math.log(2),
    }


@torch.no_grad()
def total_loss(
    objective: Objective, batches: Iterator[Batch], device: torch.device, threads: Threads | None = None
) -> torch.Tensor:
    """Return the summed loss in nats and the tokens predicted, float64 [2], over all batches, without dropout.

    `threads` chooses the number of CPU threads from batch to batch, where it is not fixed.
    """
    was_training = objective.training
    objective.eval()
    total = torch.zeros(2, dtype=torch.float64)
    for batch in batches:
        began = time.perf_counter()
        loss, count = objective(batch.to(device))
        if threads is not None:
            threads.after_step(time.perf_counter() - began)
        total += torch.stack([loss.double(), count.double()]).cpu()
    objective.train(was_training)
    return total
