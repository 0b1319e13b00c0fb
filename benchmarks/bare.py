"""The bare loop: the same graph stepped in one process with nothing around it. The yardstick for what serving costs."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from bundle.runner import Runner


def tokens_per_second(
    runner: Runner, streams: int, tokens: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Decode `tokens` greedy tokens in each of `streams` rows and return the rate of all together, by this clock."""
    rows = runner.allocate(streams)
    ones = np.ones(streams, np.int64)
    output = runner.step(rows, 0, np.full((streams, 1), runner.manifest.special_tokens.bos, np.int64), ones)
    began = clock()
    for _ in range(tokens):
        output = runner.step(rows, 0, output.top_indices[:, :1], ones)
    return streams * tokens / (clock() - began)
