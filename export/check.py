"""What a check of the parity gate is: a name, a tolerance, the cases it tries and how it measures one.

An error of 0 means that every bit is the same; with a tolerance above 0 errors are shares of the largest value, if that
is above 1. Knows nothing about what is being checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from export.play import Player
from export.reference import Reference
from export.sequences import Maker, Sequences


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to try: sequences, numbers that say what to do with them, and words for the report."""

    sequences: Sequences
    numbers: tuple[int, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        return f"{self.sequences} {self.note}".rstrip()


@dataclass(frozen=True, slots=True)
class Trial:
    """The two sides that are compared: the bundle as the server runs it, and the model itself."""

    player: Player
    reference: Reference


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
