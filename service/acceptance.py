"""How often proposed tokens are right, learnt from those that were drawn. Knows nothing about who proposes them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# Of what has been seen this share is forgotten with every token: a text changes from new to repeated and back.
_FORGOTTEN = 0.1
# What was seen elsewhere counts as so many tokens of the sample's own.
_WEIGHT = 2.0
_AT_FIRST = 0.4


@dataclass(slots=True)
class Acceptance:
    """The chance of a proposed token to be right, by the kind of its proposal, any small number.

    elsewhere: the same of all samples together, where a new one begins.
    """

    elsewhere: Acceptance | None = None
    _right: dict[int, float] = field(default_factory=dict)
    _seen: dict[int, float] = field(default_factory=dict)

    def note(self, kind: int, right: bool) -> None:
        """Note whether a token that was, or would have been, proposed is the one that was drawn."""
        kept = 1 - _FORGOTTEN
        self._right[kind] = self._right.get(kind, 0.0) * kept + right
        self._seen[kind] = self._seen.get(kind, 0.0) * kept + 1
        if self.elsewhere is not None:
            self.elsewhere.note(kind, right)

    def chance(self, kind: int) -> float:
        """Return the chance of a token of this kind."""
        before = _AT_FIRST if self.elsewhere is None else self.elsewhere.chance(kind)
        return (self._right.get(kind, 0.0) + _WEIGHT * before) / (self._seen.get(kind, 0.0) + _WEIGHT)

    def gains(self, kinds: list[int]) -> NDArray[np.float64]:
        """Return how many tokens of a proposal are taken on average, if it is cut behind its first 0, 1, … n: [n + 1].

        kinds: of its tokens. A token is only taken if all before it are.
        """
        chances = np.array([self.chance(kind) for kind in kinds])
        return np.concatenate(([0.0], np.cumsum(np.cumprod(chances))))
