"""What a precision costs and brings: the loss in each bundle's manifest beside the speed of its bare graphs.

    python -m benchmarks.precision models/smollm2/1 models/smollm2/2

Rows decode behind 250 tokens and more, and a prompt of 256 is read; bundles take turns, and medians are shown. Knows
nothing about how a bundle was made.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

import numpy as np

from bundle.folder import open_bundle
from bundle.runner import Runner

ROWS = (1, 8, 32)
PAST, PROMPT = 250, 256
ROUNDS, STEPS = 5, 8
MOST, DECODED = max(ROWS), ROUNDS * STEPS * len(ROWS)


class Subject:
    """An open bundle, and what was measured of it, in seconds."""

    def __init__(self, path: Path, threads: int) -> None:
        bundle = open_bundle(path)
        self.manifest = bundle.manifest
        self.megabytes = sum(entry.bytes for entry in bundle.manifest.files.values()) / 1e6
        self.runner = Runner(bundle, threads=threads)
        self.rows = self.runner.allocate(MOST + 1)
        limit = self.manifest.context_limit or PAST + PROMPT + DECODED
        self.random = np.random.default_rng(1)
        self.prompt = min(PROMPT, limit)
        self.seconds: dict[int, list[float]] = {rows: [] for rows in (*ROWS, 0)}
        for row in range(MOST):
            self._step(row, 1, min(PAST, limit - DECODED))

    def measure(self) -> None:
        """Time STEPS decode steps for each number of rows, and one prompt."""
        for rows in ROWS:
            self.seconds[rows] += [self._step(0, rows, 1) for _ in range(STEPS)][2:]
        self.rows.reset(MOST, 1)
        self.seconds[0].append(self._step(MOST, 1, self.prompt))

    def _step(self, first: int, rows: int, width: int) -> float:
        tokens = self.random.integers(0, self.manifest.vocabulary_size, (rows, width))
        began = time.perf_counter()
        self.runner.step(self.rows, first, tokens, np.full(rows, width))
        return time.perf_counter() - began

    def __str__(self) -> str:
        loss = f"{self.manifest.loss.loss:+.2%}" if self.manifest.loss else "0"
        speeds = " | ".join(f"{rows / median(self.seconds[rows]):,.0f}" for rows in ROWS)
        prompt = f"{self.prompt / median(self.seconds[0]):,.0f}"
        return f"| {self.manifest.precision} | {loss} | {self.megabytes:,.0f} | {speeds} | {prompt} |"


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.precision", description="Loss and speed of bundles.")
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE", help="folder of one version of a model")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="for each step [all cores]")
    options = parser.parse_args()
    subjects = [Subject(path, options.threads) for path in options.bundles]
    for _ in range(ROUNDS):
        for subject in subjects:
            subject.measure()
    heads = [*(f"{rows} rows, tokens/s" for rows in ROWS), "prompt, tokens/s"]
    print("| precision | loss of perplexity | MB | " + " | ".join(heads) + " |")
    print("|---" * (3 + len(heads)) + "|")
    for subject in subjects:
        print(subject)


if __name__ == "__main__":
    main()
