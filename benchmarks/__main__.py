"""python -m benchmarks: run measurements and print their figures; --json writes them for machines."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import batching, memory, serving
from benchmarks.models import prepare

Figures = dict[str, float]
SOURCE = "the quick brown fox"


def measurements(models: Path) -> dict[str, Callable[[], Figures]]:
    """Return every measurement by name, not yet run."""
    cores = len(os.sched_getaffinity(0))
    return {
        "gru-32-streams": lambda: serving.measure(models, "gru", 32, cores),
        "gru-32-streams-1-thread": lambda: serving.measure(models, "gru", 32, 1),
        "gru-1-stream": lambda: serving.measure(models, "gru", 1, cores),
        "lstm-32-streams": lambda: serving.measure(models, "lstm", 32, cores),
        "message-cost": lambda: serving.message_cost(models, "markov", 32),
        "batching": lambda: batching.gain(models, "transformer-lm"),
        "newcomer": lambda: batching.newcomer(models, "transformer-lm"),
        "memory-recurrent": lambda: memory.per_stream(models, "gru", 64),
        "memory-cache": lambda: memory.per_stream(models, "transformer-lm", 1000),
        "memory-static-and-cache": lambda: memory.per_stream(models, "transformer", 500, SOURCE),
        "memory-growth": lambda: memory.growth(models, "gru"),
    }


def main() -> None:
    """Run the measurements named on the command line, or all."""
    names = list(measurements(Path()))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(names)} [all]")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"), help="for the models [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in names]:
        parser.error(f"no measurement {unknown[0]!r}; there are {', '.join(names)}")
    chosen = measurements(prepare(options.folder))
    console = Console()
    console.print(f"{platform.machine()}, {os.cpu_count()} cores, onnxruntime {onnxruntime.__version__}")
    results = {}
    for name in options.names or names:
        results[name] = chosen[name]()
        console.print(_table(name, results[name]))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _table(name: str, figures: Figures) -> Table:
    table = Table(title=name, show_header=False, title_justify="left")
    for figure, value in figures.items():
        table.add_row(figure.replace("_", " "), f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}")
    return table


if __name__ == "__main__":
    uvloop.install()
    main()
