"""How far two results are apart, as one number: 0 only if every value is the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from export.extent import Array


def distance(found: Array, expected: Array) -> float:
    """Return the largest difference; infinite where shape or dtype differ or a difference is not a number."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("inf")
    if found.size == 0:
        return 0.0
    if np.array_equal(found, expected):  # most often, and much faster than what follows
        return 0.0
    with np.errstate(invalid="ignore"):  # inf - inf of equal infinities is not a difference
        apart = np.asarray(np.subtract(found, expected, dtype=np.float64))
    apart[found == expected] = 0.0
    largest = float(np.abs(apart, out=apart).max())
    return float("inf") if np.isnan(largest) else largest


def relative(found: Array, expected: Array) -> float:
    """Return the distance as a share of the largest expected value, if that is above 1.

    Integers must be equal, but for those of 8 bits, which are rounded values.
    """
    error = distance(found, expected)
    if error == 0.0 or (np.issubdtype(expected.dtype, np.integer) and expected.dtype != np.int8):
        return error
    scale = float(np.abs(expected.astype(np.float32)).max(initial=1.0))
    return error / scale if np.isfinite(scale) else float("inf")


def relative_rows(found: Iterable[Array], expected: Iterable[Array]) -> float:
    """Return the largest relative distance of arrays from their counterparts, in order."""
    return max((relative(left, right) for left, right in zip(found, expected, strict=True)), default=0.0)


def rows(found: Iterable[Array], expected: Iterable[Array]) -> float:
    """Return the largest distance of arrays from their counterparts, in order."""
    return max((distance(left, right) for left, right in zip(found, expected, strict=True)), default=0.0)


def states(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """Return the largest distance between two states of the same names."""
    assert found.keys() == expected.keys()
    return rows(found.values(), (expected[name] for name in found))
