"""How far a row's state is filled: the part of each tensor that means something.

What lies behind it (cache entries not yet written, places after the end of the source) is arbitrary and never compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import StateSpec

Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Extent:
    """Tokens that a row has consumed, and the length of its source (0 if it has none)."""

    tokens: int
    source: int = 0

    def end(self, spec: StateSpec) -> int:
        """Return how many entries of a state with an axis are filled."""
        return self.tokens if spec.kind == "cache" else self.source


def filled(spec: StateSpec, state: Array, extent: Extent) -> Array:
    """Return the filled part of one row's `state`, of the shape of `spec` (a static one may be shorter)."""
    return state if spec.axis is None else state[(slice(None),) * spec.axis + (slice(0, extent.end(spec)),)]
