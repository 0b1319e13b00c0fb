"""Which sample runs in which row, and its account: arrays by row, moved together with the row's state.

The running rows are always [0, used). Knows nothing about what a step computes or how a token is chosen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bundle.rows import Rows
from service.ids import IdTable
from service.penalties import stop_ids
from service.request import FinishReason
from service.sampling import Sampler
from service.sequence import Sequence
from service.stream import Outlet
from service.turns import Held

Ids = NDArray[np.int64]


class Slots:
    """The running samples.

    tokens: int64 [capacity, 1], what each row consumes next.    generated: int64 [capacity], tokens of each sample.
    sequences, outlets: of row i at place i.
    """

    def __init__(self, rows: Rows, sampler: Sampler, stops: IdTable) -> None:
        capacity = rows.capacity
        self.rows = rows
        self.sampler = sampler
        self.sequences: list[Sequence] = []
        self.outlets: list[Outlet] = []
        self.tokens = np.zeros((capacity, 1), np.int64)
        self.generated = np.zeros(capacity, np.int64)
        self._prompt = np.zeros(capacity, np.int64)
        self._room = np.zeros(capacity, np.int64)
        self._deadline = np.zeros(capacity, np.float64)
        self._scored = np.full(capacity, -1, np.int64)  # alternatives wanted with log-probabilities; -1: neither
        self._columns = (self.tokens, self.generated, self._prompt, self._room, self._deadline, self._scored)
        self._stops = stops
        self._replay = IdTable(capacity)
        # Before so many more tokens, and before that time, no sample has all that it may have.
        self._left, self._earliest = 0, np.inf
        self._none = np.zeros(capacity, np.bool_)
        self.scored: Ids = np.empty(0, np.int64)
        self.alternatives = 0

    @property
    def used(self) -> int:
        """How many rows run."""
        return len(self.outlets)

    def join(self, sequence: Sequence, outlet: Outlet, room: int) -> None:
        """Let a sample run in row `used`, which holds the state behind its prompt, for at most `room` tokens."""
        row, request = self.used, sequence.request
        self.sequences.append(sequence)
        self.outlets.append(outlet)
        self.generated[row] = 0
        self._prompt[row] = len(request.prompt)
        self._room[row] = room
        self._deadline[row] = np.inf if request.deadline is None else request.deadline
        self._scored[row] = request.top_logprobs if request.logprobs else -1
        self._stops.set(row, stop_ids(request))
        self._replay.set(row, request.resume)
        self.sampler.install(row, request, outlet.sample)

    def held(self) -> dict[str, Held]:
        """Return what the samples of each tenant have."""
        found: dict[str, Held] = {}
        for sequence, tokens in zip(self.sequences, self.generated[: self.used].tolist(), strict=True):
            held = found.setdefault(sequence.request.tenant, Held())
            held.rows += 1
            held.tokens += tokens
        return found

    def settle(self) -> None:
        """Note that rows have changed; to be called after `join` and `leave`."""
        self._stops.settle(self.used)
        self._replay.settle(self.used)
        self.scored = np.flatnonzero(self._scored[: self.used] >= 0)
        self.alternatives = int(self._scored[: self.used].max(initial=0))
        self._look_ahead()

    def replayed(self, first: int, tokens: Ids) -> Ids:
        """Return tokens [n] of rows [first, first + n), or, where a row is replayed, those it is to take."""
        if self._replay.width == 0:
            return tokens
        return self._replay.at(first, self.generated[first : first + len(tokens)], tokens)

    def drawn(self, first: int, end: int) -> int:
        """Return how many of the rows [first, end) draw their next token, rather than replay it."""
        if self._replay.width == 0:
            return end - first
        rows = slice(first, end)
        return int(np.count_nonzero(self.generated[rows] >= self._replay.counts[rows]))

    def left(self, row: int) -> int:
        """Return how many more tokens the sample in `row` may have; 0 as long as it replays those that it had."""
        if self.generated[row] < self._replay.counts[row]:
            return 0
        return int(self._room[row] - self.generated[row])

    def append(self, first: int, tokens: Ids, now: float) -> NDArray[np.bool_]:
        """Append tokens [n] to the samples of rows [first, first + n), and return which of them end thereby: [n]."""
        rows = slice(first, first + len(tokens))
        self.tokens[rows, 0] = tokens
        self.generated[rows] += 1
        # Whichever rows they are, each has one more.
        self._left -= 1
        if self._left > 0 and now < self._earliest:
            return self._stops.contains(first, tokens) if self._stops.width else self._none[: len(tokens)]
        ended: NDArray[np.bool_] = self.generated[rows] >= self._room[rows]
        ended |= self._deadline[rows] <= now
        if self._stops.width:
            ended |= self._stops.contains(first, tokens)
        self._look_ahead()
        return ended

    def _look_ahead(self) -> None:
        """Find out how long nothing but a stop token ends a sample."""
        rows = slice(0, self.used)
        self._left = int((self._room[rows] - self.generated[rows]).min(initial=1 << 62))
        self._earliest = float(self._deadline[rows].min(initial=np.inf))

    def reason(self, row: int) -> FinishReason:
        """Return why the sample in `row` ends, given that it does."""
        stop = self.sequences[row].request.stop
        token = int(self.tokens[row, 0])
        if token == stop.end_of_sequence:
            return FinishReason.END_OF_SEQUENCE
        if token in stop.stop_tokens:
            return FinishReason.STOP_TOKEN
        if self.generated[row] >= stop.max_new_tokens:
            return FinishReason.MAX_TOKENS
        return FinishReason.CONTEXT_FULL if self.generated[row] >= self._room[row] else FinishReason.DEADLINE

    def leave(self, rows: Ids) -> None:
        """Free `rows` (ascending): the last of the other rows fill the holes."""
        remaining = self.used - len(rows)
        holes = rows[rows < remaining]
        movers = np.setdiff1d(np.arange(remaining, self.used), rows, assume_unique=True)
        for source, target in zip(movers.tolist(), holes.tolist(), strict=True):
            self._move(source, target)
        del self.sequences[remaining:], self.outlets[remaining:]

    def _move(self, source: int, target: int) -> None:
        # The last token is not consumed yet.
        self.rows.copy(source, target, int(self._prompt[source] + self.generated[source]) - 1)
        for column in self._columns:
            column[target] = column[source]
        for table in (self._stops, self._replay, self.sampler):
            table.move(source, target)
        self.sequences[target] = self.sequences[source]
        self.outlets[target] = self.outlets[source]
