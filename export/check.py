"""What a check of the parity gate is: a name, a tolerance, the cases it tries and how it measures one.

An error of 0 means that every bit is the same; with a tolerance above 0 errors are shares of the largest value, if that
is above 1. Knows nothing about what is being checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from export.extent import Array
from export.play import Player
from export.reference import Reference
from export.sequences import Ids, Maker, Sequences


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to try: sequences, numbers that say what to do with them, and words for the report."""

    sequences: Sequences
    numbers: tuple[int, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        return f"{self.sequences} {self.note}".rstrip()


@dataclass(frozen=True, slots=True)
class Whole:
    """What came of one row that was fed whole: logits [length, V], and the filled part of its state."""

    logits: Array
    state: dict[str, Array]


class _Memo:
    """What came of the rows of the last batch that was asked for, and so of every smaller batch of the same rows."""

    def __init__(self, feed: Callable[[Sequences], list[Whole]]) -> None:
        self._feed = feed
        self._rows: dict[int, tuple[Ids, Whole]] = {}  # by identity of the tokens, which are kept alive

    def of(self, sequences: Sequences) -> list[Whole]:
        if any(id(tokens) not in self._rows for tokens in sequences.tokens):
            self._rows = {}  # let go of the memory first
            made = zip(sequences.tokens, self._feed(sequences), strict=True)
            self._rows = {id(tokens): (tokens, whole) for tokens, whole in made}
        return [self._rows[id(tokens)][1] for tokens in sequences.tokens]


class Trial:
    """The two sides that are compared: the bundle as the server runs it, and the model itself.

    What several checks need of the same rows is computed once, while the rows stay the same.
    """

    def __init__(self, player: Player, reference: Reference) -> None:
        self.player = player
        self.reference = reference
        self._expected, self._alone = _Memo(self._ask_model), _Memo(self._feed_alone)
        self._whole: tuple[Sequences, list[Whole]] | None = None

    def feed(self, sequences: Sequences, first: int = 0, padding: int = 0) -> list[Whole]:
        """Feed all rows to the bundle in one call, from row `first` of its memory on."""
        logits = self.player.whole(sequences, first, padding)
        return [Whole(row, self.player.states(first + index)) for index, row in enumerate(logits)]

    def whole(self, sequences: Sequences) -> list[Whole]:
        """What the bundle says of all rows in one call."""
        if self._whole is None or self._whole[0] is not sequences:
            self._whole = None
            self._whole = (sequences, self.feed(sequences))
        return self._whole[1]

    def alone(self, sequences: Sequences) -> list[Whole]:
        """What the bundle says of each row in a call of its own."""
        return self._alone.of(sequences)

    def expected(self, sequences: Sequences) -> list[Whole]:
        """What the model says of each row."""
        return self._expected.of(sequences)

    def _feed_alone(self, sequences: Sequences) -> list[Whole]:
        return [whole for row in range(len(sequences)) for whole in self.feed(sequences.row(row))]

    def _ask_model(self, sequences: Sequences) -> list[Whole]:
        self.reference.begin(sequences)
        logits = self.reference.feed(sequences.tokens)
        states = [self.reference.states(row, sequences.extent(row)) for row in range(len(sequences))]
        return [Whole(*both) for both in zip(logits, states, strict=True)]


@dataclass(frozen=True, slots=True)
class Measurement:
    """How far a case was from what it should be, and what else a reader should know of it."""

    error: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A promise of the contract that is measured at every export."""

    name: str
    tolerance: float
    cases: Callable[[Maker], Sequence[Case]]
    measure: Callable[[Trial, Case], Measurement]
