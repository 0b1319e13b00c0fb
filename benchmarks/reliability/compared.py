"""Streams beside what they are alone: whose tokens differ, whose log-probabilities, and by how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.reliability.told import Token


@dataclass(slots=True)
class Compared:
    """Counts over any number of models. apart: the largest difference of a log-probability where tokens are the same.

    other_tokens, other_bits: streams that differ in tokens, or in nothing but log-probabilities, by how they were run.
    """

    models: int = 0
    streams: int = 0
    tokens: int = 0
    apart: float = 0.0
    other_tokens: Counter[str] = field(default_factory=Counter)
    other_bits: Counter[str] = field(default_factory=Counter)

    def add(self, way: str, found: Sequence[list[Token]], expected: Sequence[list[Token]]) -> None:
        """Count streams that ran in one way."""
        for left, right in zip(found, expected, strict=True):
            self.streams += 1
            self.tokens += len(left)
            if [token for token, _ in left] != [token for token, _ in right]:
                self.other_tokens[way] += 1
            elif left != right:
                self.other_bits[way] += 1
                self.apart = max(self.apart, _distance(left, right))

    @property
    def same_tokens(self) -> bool:
        """Whether something was compared and no token differed."""
        return bool(self.tokens) and not self.other_tokens

    @property
    def same_bits(self) -> bool:
        """Whether no log-probability differed, either."""
        return self.same_tokens and not self.other_bits

    @property
    def with_other_tokens(self) -> str:
        """How many streams had other tokens, in words."""
        return _words(self.other_tokens)

    @property
    def with_other_bits(self) -> str:
        """How many had the same tokens and other log-probabilities, in words."""
        far = f", at most {self.apart:.1e} apart" if self.apart else ""
        return _words(self.other_bits) + far


def _distance(left: list[Token], right: list[Token]) -> float:
    pairs = ((a, b) for (_, one), (_, other) in zip(left, right, strict=True) for a, b in zip(one, other, strict=True))
    # What is not a number is as far as can be.
    return max(abs(a - b) if a - b == a - b else float("inf") for a, b in pairs)


def _words(ways: Counter[str]) -> str:
    return ", ".join(f"{count} {way}" for way, count in ways.items()) or "none"
