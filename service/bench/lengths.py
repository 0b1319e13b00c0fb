"""Lengths of prompts and answers, in tokens, as distributions that a flag can name."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_FORMS = "N, uniform:LEAST:MOST, or lognormal:MEDIAN:SIGMA"
_MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class Lengths:
    """A distribution of lengths.

    kind: "fixed" (first is the length), "uniform" (over first to second, both included) or "lognormal" (of median
        first, and standard deviation second of the logarithm).
    """

    kind: str
    first: float
    second: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Lengths:
        """Read "64", "uniform:16:128" or "lognormal:100:0.8". Raises ValueError."""
        kind, *numbers = text.split(":")
        try:
            values = [float(number) for number in (numbers or [kind])]
        except ValueError:
            raise ValueError(f"{text}; allowed: {_FORMS}") from None
        if not numbers and len(values) == 1 and values[0].is_integer() and 1 <= values[0] <= _MOST:
            return cls("fixed", values[0])
        if kind == "uniform" and len(values) == 2 and all(map(float.is_integer, values)):
            if 1 <= values[0] <= values[1] <= _MOST:
                return cls("uniform", *values)
        elif kind == "lognormal" and len(values) == 2 and 1 <= values[0] <= _MOST and 0 <= values[1] <= 10:
            return cls("lognormal", *values)
        raise ValueError(f"{text}; allowed: {_FORMS}, with lengths of 1 to {_MOST} tokens")

    def draw(self, random: np.random.Generator, most: int | None) -> int:
        """Return a length, 1 or more; what is longer than `most` is cut to it."""
        if self.kind == "fixed":
            length = int(self.first)
        elif self.kind == "uniform":
            length = int(random.integers(int(self.first), int(self.second), endpoint=True))
        else:
            length = round(random.lognormal(math.log(self.first), self.second))
        return max(1, length if most is None else min(length, most))

    def __str__(self) -> str:
        """Return what `parse` reads."""
        if self.kind == "fixed":
            return f"{self.first:g}"
        return f"{self.kind}:{self.first:g}:{self.second:g}"
