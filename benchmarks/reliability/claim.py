"""A promise, and what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """One line of docs/reliability.md.

    promise: one sentence.    figure: what was measured, with its units.    holds: whether the promise is kept thereby.
    """

    promise: str
    figure: str
    holds: bool
