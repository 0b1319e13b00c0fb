"""python -m benchmarks.iterations: what the engine itself takes for an iteration, with a model that costs nothing.

Microseconds of the fastest of many blocks, so that other work on the machine hardly shows. Of another checkout:

    PYTHONPATH=../before python benchmarks/iterations.py
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from benchmarks.models import prepare
from bundle.folder import open_bundle
from bundle.runner import Runner
from bundle.threads import open_runner
from service.batch import Batch
from service.inbox import Inbox
from service.request import GenerationRequest, SamplingParameters, StopConditions
from service.sequence import Sequence
from service.stream import Stream

_BLOCK, _BLOCKS, _ENDLESS = 50, 150, 10_000_000


def fastest(runner: Runner, rows: int) -> float:
    """Return the microseconds of an iteration that draws a token for each of `rows` rows, in the fastest block."""
    batch = Batch(runner, rows, 256, time.monotonic)
    for _ in range(rows):
        stop, greedy = StopConditions(_ENDLESS), SamplingParameters(temperature=0.0)
        request = GenerationRequest("", (1, 2, 3), stop, sampling=greedy)
        batch.add(Sequence(Stream(request, Inbox(), time.monotonic), time.monotonic()))
    best = float("inf")
    for _ in range(1 + _BLOCKS):
        began = time.perf_counter()
        for _ in range(_BLOCK):
            batch.iterate()
        best = min(best, time.perf_counter() - began)
    return 1e6 * best / _BLOCK


def main() -> None:
    """Print the figures of every number of rows, one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.iterations", description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, default=[1, 32, 128], help="how many run")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"), help="for the model [%(default)s]")
    options = parser.parse_args()
    models = prepare(options.folder, ("markov",))
    runner = open_runner(open_bundle(models / "markov" / "1"), "cpu", 1, False)
    print(json.dumps({rows: round(fastest(runner, rows), 1) for rows in options.rows}))


if __name__ == "__main__":
    main()
