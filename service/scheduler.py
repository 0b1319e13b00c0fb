"""Which prompts are consumed next, and how much of each: first come, first served.

A step holds at most `chunk_tokens` prompt tokens, padding and sources counted, so that running samples never wait
longer than one chunk; a longer prompt goes in pieces, one a step. Knows counts and deques, no tensors and no tokens.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf

from bundle.manifest import Calls
from service.sequence import Sequence
from service.stream import Outlet, Stream


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

    def __init__(self, calls: Calls, chunk_tokens: int) -> None:
        """`calls`: whether a piece behind a past shares its step with other prompts, and how wide pieces may be."""
        # A chunk of one token is never cut, because it would be computed as a decode step and differ in the last bit.
        # That needs three tokens: of a remainder of four, two and two.
        assert chunk_tokens >= 3, "chunks of less than three tokens cannot all be longer than one"
        self._calls = calls
        self._chunk_tokens = chunk_tokens
        self._waiting: deque[Sequence] = deque()
        self._earliest = inf
        self.prefilling: Sequence | None = None
        self.departed = 0
        self.departed_tokens = 0

    @property
    def idle(self) -> bool:
        """Whether there is no prompt to consume."""
        return self.prefilling is None and not self._waiting

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
        self._waiting.append(sequence)
        self._earliest = min(self._earliest, _deadline(sequence))

    def plan(self, free: int) -> list[Piece]:
        """Return the pieces of the next prompt step, given that `free` rows do not run.

        They go to adjacent rows in this order. All complete their prompts but, possibly, a piece alone.
        """
        pieces: list[Piece] = []
        free -= self.reserved
        if self.prefilling is not None:
            pieces.append(self._piece(self.prefilling))
        if not pieces or (pieces[0].completes and self._calls.chunk == "batch"):
            while self._waiting and len(self._waiting[0].live) <= free:
                piece = self._piece(self._waiting[0])
                if pieces and not self._fits([*pieces, piece]):
                    break
                self._depart(self._waiting.popleft())
                free -= len(piece.sequence.live)
                pieces.append(piece)
        if pieces:
            self.prefilling = None if pieces[-1].completes else pieces[-1].sequence
        return pieces

    def withdraw(self, stream: Stream, outlets: tuple[Outlet, ...]) -> None:
        """Forget these samples of `stream`, and the request if it has no other, where it waits or is prefilled."""
        candidates = [*self._waiting] if self.prefilling is None else [self.prefilling, *self._waiting]
        for sequence in candidates:
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
            expired += [sequence for sequence in self._waiting if _deadline(sequence) <= now]
        for sequence in expired:
            self._remove(sequence)
        if self._earliest <= now:
            self._earliest = min(map(_deadline, self._waiting), default=inf)
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

    def _piece(self, sequence: Sequence) -> Piece:
        remaining = len(sequence.request.prompt) - sequence.consumed
        lengths = range(min(remaining, self._chunk_tokens), 0, -1)
        length = next(length for length in lengths if remaining - length != 1 and self._calls.allow(length))
        return Piece(sequence, sequence.consumed, length)

    def _fits(self, pieces: list[Piece]) -> bool:
        grid = len(pieces) * max(piece.length for piece in pieces)
        return grid + sum(len(piece.sequence.request.source or ()) for piece in pieces) <= self._chunk_tokens


def _deadline(sequence: Sequence) -> float:
    deadline = sequence.request.deadline
    return inf if deadline is None else deadline
