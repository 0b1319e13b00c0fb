"""Prompt lookup: what followed the last tokens where they stood before is what may follow now.

Saxena 2023, "Prompt lookup decoding". A match that goes on is followed, and is then longer than any that an index of
short runs can tell; a token costs the same however long the sequence is. Knows nothing about models or rows.
"""

from __future__ import annotations

from collections.abc import Iterable

SHORTEST = 2
LONGEST_INDEXED = 4


class Lookup:
    """The tokens of one sequence, and where its end stood before.

    tokens: the sequence.    matched: how many of its last tokens stood before in the place that is followed, or 0.
    """

    def __init__(self, tokens: Iterable[int]) -> None:
        self.tokens: list[int] = []
        self.matched = 0
        self._place = 0  # of the token that came next there
        self._ends: dict[tuple[int, ...], int] = {}  # the place behind the last occurrence of a run
        for token in tokens:
            self.append(token)

    @property
    def expected(self) -> int | None:
        """The token that came next where the end stood before."""
        return self.tokens[self._place] if self.matched else None

    def append(self, token: int) -> None:
        """Take the next token."""
        if self.expected == token:
            self._place, self.matched = self._place + 1, self.matched + 1
        else:
            self.matched = 0
        self.tokens.append(token)
        end = len(self.tokens)
        for size in range(SHORTEST, min(LONGEST_INDEXED, end) + 1):
            run = tuple(self.tokens[end - size :])
            if size > self.matched and run in self._ends:
                self._place, self.matched = self._ends[run], size
            self._ends[run] = end

    def propose(self, count: int) -> list[int]:
        """Return the `count` tokens that came next, those of a loop again and again; none without a match."""
        if not self.matched:
            return []
        proposal = self.tokens[self._place : self._place + count]
        period = len(self.tokens) - self._place
        while len(proposal) < count:
            proposal.append(proposal[-period])
        return proposal
