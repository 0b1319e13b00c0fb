"""What the model itself says, run by PyTorch: the right answer that a bundle is measured against.

Ragged rows go through the model in one padded batch, sources too. Knows nothing about ONNX.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.extent import Array, Extent, filled
from export.sequences import Ids, Sequences
from training.models.step_model import SourceStepModel, State, StepModel

Floats = NDArray[np.float32]


class Reference:
    """A model in evaluation mode with the state of one batch of rows."""

    def __init__(self, model: StepModel) -> None:
        self._model = model.eval()
        self._state: State = {}

    @torch.no_grad()
    def begin(self, sequences: Sequences, more: int = 0) -> None:
        """Make the initial state of a batch: zeros, and what the encoder makes of the sources.

        more: tokens that will be fed beyond those of `sequences`. Caches hold no more than all of them.
        """
        self._state = self._model.initial_state(len(sequences), sequences.longest + more)
        if sequences.sources is not None:
            assert isinstance(self._model, SourceStepModel)
            self._state |= self._model.start(*_padded(sequences.sources))

    @torch.no_grad()
    def feed(self, tokens: Sequence[Ids]) -> list[Floats]:
        """Feed every row its next tokens; return each row's logits [length, V] at every position."""
        grid, lengths = _padded(tokens)
        logits, after = self._model(grid, lengths, self._state)
        self._state = {**self._state, **after}
        return [row[: len(ids)].numpy() for row, ids in zip(logits, tokens, strict=True)]

    def states(self, row: int, extent: Extent) -> dict[str, Array]:
        """Return the filled part of the state of `row`."""
        return {spec.name: filled(spec, self._state[spec.name][row].numpy(), extent) for spec in self._model.states}


def _padded(rows: Sequence[Ids]) -> tuple[Tensor, Tensor]:
    """Return rows as one grid [B, T], padded with zeros, and their lengths [B]."""
    lengths = torch.tensor([len(row) for row in rows])
    grid = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for index, row in enumerate(rows):
        grid[index, : len(row)] = torch.from_numpy(row)
    return grid, lengths
