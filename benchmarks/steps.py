"""How long a decode step takes for a number of rows: a line, `fixed + per_row * rows`, fitted to what was measured.

A server that batches continuously is this line and little else; the simulation knows no more of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.bare import tokens_per_second
from bundle.folder import open_bundle
from bundle.runner import Runner

BATCHES = (1, 2, 4, 8, 16, 32)
_TOKENS, _ROUNDS = 96, 3


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of a decode step: `fixed`, whatever its rows, and `per_row` for each of them."""

    fixed: float
    per_row: float

    def seconds(self, rows: int) -> float:
        """Return the time of one step of so many rows."""
        return self.fixed + self.per_row * rows

    def tokens_per_second(self, rows: int) -> float:
        """Return the rate of a replica in which so many rows run."""
        return rows / self.seconds(rows)

    def slower(self, factor: float) -> StepTimes:
        """Return the times of a replica that gets only a part of its core."""
        return StepTimes(self.fixed * factor, self.per_row * factor)


# Published, not measured here: tokens/s of the engine of ONNX Runtime GenAI with 1, 8 and 32 sequences on one NVIDIA
# H200, gpt-oss-20b with an int8 cache, 128 tokens in and 256 out (its documentation of paged attention and batching).
PUBLISHED_GPU: Mapping[int, float] = {1: 377.0, 8: 1810.0, 32: 4999.0}


def fit(rates: Mapping[int, float]) -> StepTimes:
    """Fit a line to the step times behind these tokens/s, rows -> rate, weighing relative errors."""
    rows = np.array(list(rates), np.float64)
    seconds = rows / np.array(list(rates.values()), np.float64)
    design = np.stack((np.ones_like(rows), rows), axis=1) / seconds[:, None]
    fixed, per_row = np.linalg.lstsq(design, np.ones_like(rows), rcond=None)[0]
    return StepTimes(float(fixed), float(per_row))


def bare_rates(models: Path, name: str) -> dict[int, float]:
    """Measure the graph of the model `name` alone, on one thread: rows -> tokens/s, the best of a few rounds."""
    runner = Runner(open_bundle(models / name / "1"), threads=1)
    rates = dict.fromkeys(BATCHES, 0.0)
    for _ in range(_ROUNDS):
        for rows in BATCHES:
            rates[rows] = max(rates[rows], tokens_per_second(runner, rows, _TOKENS))
    return rates
