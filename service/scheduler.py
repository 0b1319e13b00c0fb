"""Which prompts are consumed next, and how much of each: whose turn it is, and with it those of about its length.

A step holds at most `chunk_tokens` prompt tokens, padding and sources counted, or fewer where the caller says so: so
long running samples wait, and no longer. A longer prompt goes in pieces, one a step.

Overtaking is bounded. Every step that starts anything starts the request whose turn it is (service/turns.py; of one
tenant without priorities the oldest), so nobody waits for more such steps than there were requests before it. And only
requests that all have their rows together are chosen from: whoever is passed still has its rows when its turn comes.
Knows counts, no tensors and no tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from bundle.manifest import Calls
from service.sequence import Sequence
from service.stream import Outlet, Stream
from service.turns import Turns

_MOST_PADDING = 0.25  # of the tokens of a step
_SMALL = 32  # tokens: a step of fewer takes so long as it takes, whatever they are


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens [start, start + length) of a prompt, to be consumed in the next step."""

    sequence: Sequence
    start: int
    length: int

    @property
    def completes(self) -> bool:
        """Whether it is the last of its prompt."""
        return self.start + self.length == len(self.sequence.request.prompt)


class Scheduler:
    """Requests that wait, and the one, if any, whose prompt is consumed in part.

    departed, departed_tokens: how many requests have left the queue, one way or another, and their prompts' tokens.
    """

    def __init__(self, calls: Calls, chunk_tokens: int, turns: Turns) -> None:
        """calls: whether a piece behind a past shares its step with other prompts, and how wide pieces may be.

        turns: in which requests wait, so that what has run is charged there.
        """
        # A chunk of one token is never cut, because it would be computed as a decode step and differ in the last bit.
        # That needs three tokens: of a remainder of four, two and two.
        assert chunk_tokens >= 3, "chunks of less than three tokens cannot all be longer than one"
        self._calls = calls
        self._chunk_tokens = chunk_tokens
        self._waiting = turns
        self._earliest = inf
        self.prefilling: Sequence | None = None
        self.departed = 0
        self.departed_tokens = 0

    @property
    def idle(self) -> bool:
        """Whether there is no prompt to consume."""
        return self.prefilling is None and not len(self._waiting)

    @property
    def reserved(self) -> int:
        """Rows kept for the samples of the prompt that is consumed in part; its state is in the first of them."""
        return 0 if self.prefilling is None else len(self.prefilling.live)

    @property
    def begun(self) -> tuple[Sequence, ...]:
        """The request whose prompt is consumed in part, if there is one."""
        return () if self.prefilling is None else (self.prefilling,)

    def add(self, sequence: Sequence) -> None:
        """Let a request wait."""
        self._waiting.add(sequence)
        self._earliest = min(self._earliest, _deadline(sequence))

    def plan(self, free: int, budget: int | None = None) -> list[Piece]:
        """Return the pieces of the next prompt step, given that `free` rows do not run.

        They go to adjacent rows in this order. All complete their prompts but, possibly, a piece alone.
        budget: most tokens of the step, 3 or more; None: `chunk_tokens`.
        """
        budget = self._chunk_tokens if budget is None else min(budget, self._chunk_tokens)
        free -= self.reserved
        begun = [] if self.prefilling is None else [self._piece(self.prefilling, budget)]
        pieces = begun
        if not begun or (begun[0].completes and self._calls.chunk == "batch"):
            ready = [self._piece(sequence, budget) for sequence in self._with_rows(free)]
            pieces = _choose(begun, ready, budget)
            for piece in pieces[len(begun) :]:
                self._waiting.take(piece.sequence)
                self._depart(piece.sequence)
        if pieces:
            self.prefilling = None if pieces[-1].completes else pieces[-1].sequence
        return pieces

    def withdraw(self, stream: Stream, outlets: tuple[Outlet, ...]) -> None:
        """Forget these samples of `stream`, and the request if it has no other, where it waits or is prefilled."""
        for sequence in [*self.begun, *self._waiting.everyone()]:
            if sequence.stream is stream:
                sequence.live = [outlet for outlet in sequence.live if outlet not in outlets]
                if not sequence.live:
                    self._remove(sequence)

    def expire(self, now: float) -> list[Sequence]:
        """Forget and return the requests whose deadline has passed."""
        expired: list[Sequence] = []
        if self.prefilling is not None and _deadline(self.prefilling) <= now:
            expired.append(self.prefilling)
        if self._earliest <= now:
            expired += [sequence for sequence in self._waiting.everyone() if _deadline(sequence) <= now]
        for sequence in expired:
            self._remove(sequence)
        if self._earliest <= now:
            self._earliest = min(map(_deadline, self._waiting.everyone()), default=inf)
        return expired

    def _remove(self, sequence: Sequence) -> None:
        if sequence is self.prefilling:
            self.prefilling = None
        else:
            self._waiting.remove(sequence)
            self._depart(sequence)

    def _depart(self, sequence: Sequence) -> None:
        self.departed += 1
        self.departed_tokens += sequence.request.prompt_tokens

    def _with_rows(self, free: int) -> Iterator[Sequence]:
        """Yield requests in turn, as long as `free` rows are enough for all of them together."""
        if free < 1:
            return
        for sequence in self._waiting:
            free -= len(sequence.live)
            if free < 0:
                return
            yield sequence

    def _piece(self, sequence: Sequence, budget: int) -> Piece:
        remaining = len(sequence.request.prompt) - sequence.consumed
        lengths = range(min(remaining, budget), 0, -1)
        length = next(length for length in lengths if remaining - length != 1 and self._calls.allow(length))
        return Piece(sequence, sequence.consumed, length)


def _choose(begun: list[Piece], ready: list[Piece], budget: int) -> list[Piece]:
    """Return what shares a step, in turn: what is begun, whose turn it is, and what is of about its length."""
    if not ready or (begun and not _fit([*begun, ready[0]], budget)):
        return begun
    chosen = [*begun, ready[0]]
    if not ready[0].completes:
        return chosen
    others = [piece for piece in ready[1:] if piece.completes]
    # The sort is stable: of two that are as near, the one whose turn is first.
    for piece in sorted(others, key=lambda piece: abs(piece.length - ready[0].length)):
        if _fit([*chosen, piece], budget):
            chosen.append(piece)
    among = set(map(id, chosen))
    return [*begun, *(piece for piece in ready if id(piece) in among)]


def _fit(pieces: list[Piece], budget: int) -> bool:
    grid = len(pieces) * max(piece.length for piece in pieces)
    padding = grid - sum(piece.length for piece in pieces)
    sources = sum(len(piece.sequence.request.source or ()) for piece in pieces)
    return grid + sources <= budget and (grid <= _SMALL or padding <= _MOST_PADDING * grid)


def _deadline(sequence: Sequence) -> float:
    deadline = sequence.request.deadline
    return inf if deadline is None else deadline
