"""How long drafts should be, so that all running rows together get the most tokens a second.

A row that drafts leaves the step that all others share, which gets cheaper by what one row costs in it, and takes a
step of its own. With one row that is often a gain; with many the shared step is nearly free, and it never is. Decided
by measured seconds alone. Knows nothing about rows, models or tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_ROUNDS = 3
# What drafts have to gain before they are made: of many estimates the best is too good on average.
_MARGIN = 1.05
_NO_TIME = 1e-9


@dataclass(frozen=True, slots=True)
class Bet:
    """What a row gains and pays if it proposes 0, 1, … n tokens.

    gains: how many of them are taken on average, [n + 1].    seconds: of proposing and verifying them, [n + 1].
    """

    gains: Floats
    seconds: Floats


def lengths(bets: Sequence[Bet], decoding: Floats) -> list[int]:
    """Return how many tokens each bet should propose; 0 leaves its row in the shared step.

    decoding: seconds of shared steps over 0, 1, … rows, all that run, [rows + 1].

    Tokens over seconds is a ratio of sums: it is largest where tokens - rate * seconds is, at the rate that this
    itself makes, which a few rounds find (Dinkelbach 1967).
    """
    rows = len(decoding) - 1
    rate, chosen = _MARGIN * rows / max(decoding[rows], _NO_TIME), [0] * len(bets)
    for _ in range(_ROUNDS):
        worth = [1 + bet.gains - rate * bet.seconds for bet in bets]
        best = [1 + int(values[1:].argmax()) for values in worth]
        order = sorted(range(len(bets)), key=lambda index: -worth[index][best[index]])
        found, count = _most(bets, best, order, decoding)
        if found <= rate:
            break
        rate = found
        chosen = [best[index] if index in order[:count] else 0 for index in range(len(bets))]
    return chosen


def _most(bets: Sequence[Bet], best: Sequence[int], order: Sequence[int], decoding: Floats) -> tuple[float, int]:
    """Return the largest rate that the first so many bets of `order` and the rows that are left make, and how many."""
    rows, tokens, seconds = len(decoding) - 1, 0.0, 0.0
    options = []
    for count, index in enumerate(order, 1):
        tokens += 1 + float(bets[index].gains[best[index]])
        seconds += float(bets[index].seconds[best[index]])
        left = rows - count
        options.append(((left + tokens) / max(float(decoding[left]) + seconds, _NO_TIME), count))
    return max(options)
