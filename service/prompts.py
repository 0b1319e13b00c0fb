"""Pieces of prompts as one call of the step graph. Knows nothing about rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle.arrays import StepOutput
from service.scheduler import Piece
from service.scores import Scores, score, take

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PromptCall:
    """Right-padded pieces, and the places whose logits are wanted.

    tokens: [batch, time].    lengths: [batch].    indices: [places], into the grid of batch and time.
    last: [batch], which of the places is the last token of each row.    scored: [batch + 1], the places
    [scored[b], last[b]) tell the probability of `targets` [places] of row b, a token further on.
    """

    tokens: Ids
    lengths: Ids
    indices: Ids
    last: Ids
    targets: Ids

    def scores(self, pieces: Sequence[Piece], output: StepOutput) -> list[tuple[Piece, Scores]]:
        """Return the scores of the prompt tokens that were asked for, piece by piece."""
        found = []
        start = 0
        for piece, last in zip(pieces, self.last.tolist(), strict=True):
            if start < last:
                places = np.arange(start, last)
                alternatives = piece.sequence.request.top_logprobs
                found.append((piece, score(take(output, places), self.targets[places], alternatives)))
            start = last + 1
        return found


def prompt_call(pieces: Sequence[Piece]) -> PromptCall:
    """Return the call that consumes `pieces`, one a row."""
    time = max(piece.length for piece in pieces)
    tokens = np.zeros((len(pieces), time), np.int64)
    indices: list[int] = []
    targets: list[int] = []
    last = []
    for row, piece in enumerate(pieces):
        prompt = piece.sequence.request.prompt
        tokens[row, : piece.length] = prompt[piece.start : piece.start + piece.length]
        scored = _scored(piece)
        indices += [row * time + place - 1 - piece.start for place in scored]
        targets += [prompt[place] for place in scored]
        last.append(len(indices))
        indices.append(row * time + piece.length - 1)
        targets.append(-1)
    lengths = np.array([piece.length for piece in pieces], np.int64)
    return PromptCall(tokens, lengths, *(np.array(values, np.int64) for values in (indices, last, targets)))


def _scored(piece: Piece) -> range:
    """Return the places in the prompt of the tokens whose probability this piece tells and that are asked for."""
    request = piece.sequence.request
    if request.scored_from is None:
        return range(0)
    end = min(piece.start + piece.length, len(request.prompt) - 1)
    return range(max(request.scored_from, piece.start + 1), end + 1)
