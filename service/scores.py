"""Log-probabilities of the model's own distribution, before temperature, penalties and filters.

Knows nothing about requests or rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle.arrays import StepOutput
from service.chunk import ScoredToken


@dataclass(frozen=True, slots=True)
class Scores:
    """Of n tokens: ids and log-probabilities [n], and those of the likeliest at their places [n, alternatives]."""

    tokens: NDArray[np.int64]
    logprobs: NDArray[np.float32]
    alternatives: NDArray[np.int64]
    alternative_logprobs: NDArray[np.float32]

    def list(self, wanted: Iterable[int] | None = None) -> Sequence[ScoredToken]:
        """Return one value for every token, with all its alternatives, or `wanted[i]` of them."""
        counts = [self.alternatives.shape[1]] * len(self.tokens) if wanted is None else wanted
        others = zip(self.alternatives.tolist(), self.alternative_logprobs.tolist(), counts, strict=True)
        return [
            ScoredToken(token, logprob, tuple(zip(ids[:count], logprobs[:count], strict=True)))
            for token, logprob, (ids, logprobs, count) in zip(
                self.tokens.tolist(), self.logprobs.tolist(), others, strict=True
            )
        ]


def take(output: StepOutput, rows: NDArray[np.int64]) -> StepOutput:
    """Return a copy of some rows of a step's output."""
    return StepOutput(output.logits[rows], output.top_values[rows], output.top_indices[rows])


def score(output: StepOutput, tokens: NDArray[np.int64], alternatives: int) -> Scores:
    """Score tokens [n] under a step's output of n rows, with at most `alternatives` others (the graph gives top_k)."""
    largest = output.top_values[:, :1]
    # log-sum-exp about the largest logit; summed along contiguous rows, so that a row's sum is its own.
    normalizer = largest + np.log(np.exp(output.logits - largest).sum(axis=1, keepdims=True))
    logits = np.take_along_axis(output.logits, tokens[:, None], axis=1)
    logprobs = np.minimum(logits - normalizer, 0)  # rounding may reach beyond certainty
    others = np.minimum(output.top_values[:, :alternatives] - normalizer, 0)
    return Scores(tokens, logprobs[:, 0], output.top_indices[:, :alternatives].copy(), others)
