"""A small model that proposes what a larger one with the same vocabulary may draw.

Its proposals are drawn by the larger one's sampler with the larger one's own random numbers (common random numbers):
where the two distributions are alike, the same number falls on the same token, so more proposals are right than if each
model drew by itself; a greedy row is proposed the likeliest tokens. The state of a row behind what was drawn is kept;
proposals are made from a copy, and forgotten. Knows nothing about how proposals are verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bundle.arrays import StepOutput
from bundle.runner import Runner
from service.sampling import Sampler

# Most tokens that it consumes before a step of the larger model, so that a long prompt stalls nobody.
MOST_CONSUMED = 256
_ONE = np.ones(1, np.int64)


@dataclass(slots=True, eq=False)
class DraftRow:
    """A sequence in the draft model: its row, and how many of its tokens lie behind it."""

    row: int
    consumed: int = 0


class DraftModel:
    """Rows of one draft model for all sequences of one engine. Row 0 is the copy that proposals are made from."""

    def __init__(self, runner: Runner, capacity: int) -> None:
        self._runner = runner
        self._limit = runner.manifest.context_limit
        self._rows = runner.allocate(capacity + 1)
        self._free = list(range(capacity, 0, -1))

    def begin(self) -> DraftRow:
        """Return a row for a new sequence."""
        row = DraftRow(self._free.pop())
        self._rows.reset(row.row, 1)
        return row

    def end(self, row: DraftRow) -> None:
        """Free a row."""
        self._free.append(row.row)

    def propose(
        self, own: DraftRow, tokens: Sequence[int], count: int, sampler: Sampler, place: tuple[int, int]
    ) -> list[int]:
        """Return at most `count` tokens that may follow `tokens`, the whole sequence; none while it catches up.

        place: the row of `sampler` that they are for, and the position of the first of them in its sample.
        """
        target, position = place
        if self._limit is not None:
            count = min(count, self._limit - len(tokens) + 1)
        if count <= 0 or (output := self._catch_up(own, tokens)) is None:
            return []
        proposal = [_draw(sampler, output, target, position)]
        if count > 1:
            self._rows.copy(own.row, 0, own.consumed)
        while len(proposal) < count:
            output = self._runner.step(self._rows, 0, np.array([proposal[-1:]], np.int64), _ONE)
            proposal.append(_draw(sampler, output, target, position + len(proposal)))
        return proposal

    def _catch_up(self, own: DraftRow, tokens: Sequence[int]) -> StepOutput | None:
        """Consume what is new; return what follows it, or None if not all of it fits into one step."""
        new = tokens[own.consumed : own.consumed + MOST_CONSUMED]
        lengths = np.array([len(new)], np.int64)
        output = self._runner.step(self._rows, own.row, np.array([new], np.int64), lengths)
        own.consumed += len(new)
        return output if own.consumed == len(tokens) else None


def _draw(sampler: Sampler, output: StepOutput, row: int, position: int) -> int:
    return int(sampler.choose(output, row, np.array([position], np.int64))[0])
