"""How many threads compute inside a step of a bundle, and whether they spin: measured when the bundle is opened.

A small model is opened in every way that comes into question and stepped for a moment. A large one takes too long
to open more than once, and its products are wide enough for every core. Knows nothing about requests.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from bundle.device import Device
from bundle.folder import DATA, STEP_GRAPH, Bundle
from bundle.runner import Runner

LARGEST_MEASURED = 32 << 20  # bytes of a step graph and its weights; one of 17 MB opens in 40 ms, one of 250 MB in 600
_ROWS, _SECONDS, _LEAST_STEPS = 8, 0.03, 5
# Of the time of a step and of handing out its tokens, what more threads have to save: they take cores from the rest of
# the server.
_LEAST_GAIN = 0.1
_SECONDS_PER_TOKEN = 30e-6  # what the server does for a token beside the step: benchmarks/ceiling.py

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Way:
    """threads: that compute inside a step.    spin: whether they wait busily for the next operator."""

    threads: int
    spin: bool

    def __str__(self) -> str:
        if self.threads == 1:
            return "1 thread"
        return f"{self.threads} threads that {'spin' if self.spin else 'sleep'}"


def ways(threads: int, spin: bool | None, cores: int) -> list[Way]:
    """Return the ways that come into question, those that take least first. 0 threads: any number; None: either."""
    counts = [threads] if threads else sorted({1, -(-cores // 2), cores})
    found = []
    for count in counts:
        choices = (False, True) if spin is None else (spin,)
        # A lone thread waits for no other.
        found += [Way(count, choice) for choice in (choices if count > 1 else choices[:1])]
    return found


def fastest(seconds: Sequence[float], rows: int = _ROWS) -> int:
    """Return which way to take, given what a step of `rows` rows lasts in each: a later one only if it saves enough."""
    best = 0
    for way, duration in enumerate(seconds):
        if seconds[best] - duration > _LEAST_GAIN * (seconds[best] + rows * _SECONDS_PER_TOKEN):
            best = way
    return best


def modest(bundle: Bundle, threads: int = 0, spin: bool | None = None) -> Way:
    """Return the way of a bundle that is opened while others run, so that steps tried out would tell little.

    A large one takes what it always does, a small one what takes least.
    """
    possible = ways(threads, spin, len(os.sched_getaffinity(0)))
    return possible[-1 if _is_large(bundle) else 0]


def open_runner(
    bundle: Bundle, device: Device = "cpu", threads: int = 0, spin: bool | None = None, way: Way | None = None
) -> Runner:
    """Open a bundle with as many threads as told, or as many as pay; the choice and its figures are logged.

    threads: 0 means what is found best.    spin: None means the same.    way: to take it untried, whatever is told.

    Raises:
        BundleError, DeviceError: as Runner does.
    """
    possible = [way] if way is not None else ways(threads, spin, len(os.sched_getaffinity(0)))
    if len(possible) == 1 or _is_large(bundle) or device != "cpu":
        return _running(Runner(bundle, device, possible[-1].threads, possible[-1].spin))
    runners = [_running(Runner(bundle, device, way.threads, way.spin)) for way in possible]
    seconds = [_step_seconds(runner) for runner in runners]
    chosen = fastest(seconds)
    figures = ", ".join(f"{way} {1e3 * duration:.2f}" for way, duration in zip(possible, seconds, strict=True))
    _log.info("%s: computes with %s; ms for a step of %d rows: %s", bundle.reference, possible[chosen], _ROWS, figures)
    return runners[chosen]


def _running(runner: Runner) -> Runner:
    runner.try_out()
    return runner


def _is_large(bundle: Bundle) -> bool:
    files = bundle.manifest.files
    return sum(files[name].bytes for name in (STEP_GRAPH, STEP_GRAPH + DATA) if name in files) > LARGEST_MEASURED


def _step_seconds(runner: Runner) -> float:
    rows = runner.allocate(_ROWS)
    ones = np.ones(_ROWS, np.int64)
    tokens = np.full((_ROWS, 1), runner.manifest.special_tokens.bos, np.int64)
    limit = runner.manifest.context_limit
    found: list[float] = []
    end = time.perf_counter() + _SECONDS
    while len(found) < _LEAST_STEPS or time.perf_counter() < end:
        if limit is not None and len(found) % limit == 0:
            rows.reset(0, _ROWS)
        began = time.perf_counter()
        runner.step(rows, 0, tokens, ones)
        found.append(time.perf_counter() - began)
    return median(found[1:])  # the first one warms up
