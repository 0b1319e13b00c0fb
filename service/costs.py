"""What steps cost, in seconds, as measured while they run. Knows nothing about rows or tokens.

What was never measured is read off between neighbours that were, and at first taken as cheap: it is then tried, and
measured. Verifying is kept as a multiple of a decode step: whatever else the machine does slows both down alike, and
what is seldom measured keeps up with what always is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_NEWEST = 0.25
_NO_TIME = 1e-9
_LARGEST_JUMP = 2.0  # one step that was interrupted says little about the next

Seconds = NDArray[np.float64]


class Curve:
    """Smoothed seconds by a size, in whole numbers from 0."""

    def __init__(self) -> None:
        self._known: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._known)

    def note(self, size: int, seconds: float) -> None:
        """Note what one step of `size` took."""
        old = self._known.get(size, seconds)
        self._known[size] = old + _NEWEST * (min(seconds, _LARGEST_JUMP * old) - old)

    def at(self, sizes: NDArray[np.int64]) -> Seconds:
        """Return the seconds of `sizes` [n]: in a straight line between those known, and beyond the last like it."""
        known = sorted(self._known)
        return np.interp(sizes, known, [self._known[size] for size in known])


class Costs:
    """Of decode steps by their rows, of verifying ones by their tokens, of proposing by its tokens and who proposes."""

    def __init__(self, most: int) -> None:
        """`most`: tokens that one verifying step holds."""
        self._sizes = np.arange(most + 1)
        self._decoding, self._verifying = Curve(), Curve()
        self._proposing: dict[str, Curve] = {}
        self._decoding.note(0, 0.0)
        self._verifying.note(1, 1.0)

    @property
    def known(self) -> bool:
        """Whether a decode step has been measured: what all others are compared with."""
        return len(self._decoding) > 1

    @property
    def _one(self) -> float:
        return float(self._decoding.at(self._sizes[1:2])[0])

    def decoded(self, rows: int, seconds: float) -> None:
        """Note a step that gave `rows` rows a token each."""
        self._decoding.note(rows, seconds)

    def verified(self, tokens: int, seconds: float) -> None:
        """Note a step that consumed `tokens` tokens of one row."""
        self._verifying.note(tokens, seconds / max(self._one, _NO_TIME))

    def proposed(self, source: str, tokens: int, seconds: float) -> None:
        """Note that `source` proposed `tokens` tokens."""
        if source not in self._proposing:
            self._proposing[source] = Curve()
            self._proposing[source].note(0, 0.0)
        self._proposing[source].note(tokens, seconds)

    def decoding(self, rows: int) -> Seconds:
        """Return the seconds of steps over 0, 1, … `rows` rows: [rows + 1]."""
        return self._decoding.at(np.arange(rows + 1))

    def verifying(self) -> Seconds:
        """Return the seconds of steps that verify 0, 1, … tokens, the one behind the row's last token not counted."""
        return self._one * self._verifying.at(self._sizes[1:])

    def proposing(self, source: str | None) -> Seconds:
        """Return the seconds in which `source` proposes 0, 1, … tokens; None costs nothing."""
        curve = self._proposing.get(source) if source is not None else None
        return np.zeros(len(self._sizes) - 1) if curve is None else curve.at(self._sizes[:-1])
