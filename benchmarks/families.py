"""python -m benchmarks.families: what a token costs in every family, and writes the table of docs/families.md.

Sizes are those of `python -m training compare`, so a row of its table and one of this belong to the same model; weights
are untrained, for the cost of a step does not depend on them. Each graph is stepped alone, on one thread, and what is
taken is CPU time, which other work on the machine moves least.
"""

from __future__ import annotations

import argparse
import datetime
import math
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bare import tokens_per_second
from benchmarks.models import prepare
from benchmarks.tables import replaced, table
from bundle.folder import open_bundle
from bundle.manifest import Manifest
from bundle.runner import Runner
from training.compare import VARIANTS

VOCABULARY = 1024
PAGE, LOSSES = Path("docs/families.md"), Path("docs/compare.md")
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name.replace(" ", "-"): variant for name, variant in VARIANTS.items()},
    "gru-seq2seq": ("gru-seq2seq", {}),
    "transformer": ("transformer", {}),
}
_TOKENS, _ROUNDS, _STREAMS = 96, 10, 32


def main() -> None:
    """Export what is not there yet, measure, print, and put the table into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.families", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/families"), help="for the models [%(default)s]")
    parser.add_argument("--page", type=Path, default=PAGE, help="whose table is replaced [%(default)s]")
    options = parser.parse_args()
    models = prepare(options.folder, known=MODELS, vocabulary=VOCABULARY)
    losses = read_losses(LOSSES.read_text(encoding="utf-8"))
    made = table(
        ("model", "parameters", "nats/token", "state of a row", "a token alone", f"a token among {_STREAMS}"),
        [_row(name, models, losses) for name in MODELS],
    )
    how = f"CPU time on one thread, least of {_ROUNDS} times {_TOKENS} tokens"
    where = f"{datetime.date.today()}, {platform.machine()}, {how}."
    tables = {"cost": f"{made}\n\nMeasured on {where}"}
    print(tables["cost"])
    options.page.write_text(replaced(options.page.read_text(encoding="utf-8"), tables), encoding="utf-8")


def read_losses(page: str) -> dict[str, str]:
    """Return the loss of each model from the table that `python -m training compare` wrote."""
    rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|"))
    header, _, *models = rows
    column = header.index("nats/token")
    return {row[0].replace(" ", "-"): row[column] for row in models}


def _row(name: str, models: Path, losses: Mapping[str, str]) -> tuple[str, ...]:
    bundle = open_bundle(models / name / "1")
    runner = Runner(bundle, threads=1)
    alone, crowd = (
        max(tokens_per_second(runner, rows, _TOKENS, time.process_time) for _ in range(_ROUNDS))
        for rows in (1, _STREAMS)
    )
    parameters = f"{bundle.manifest.training.parameters:,}"
    return (
        f"`{name}`",
        parameters,
        losses.get(name, "–"),
        _size(state_bytes(bundle.manifest)),
        f"{1e6 / alone:.0f} µs",
        f"{1e6 / crowd:.1f} µs",
    )


def state_bytes(manifest: Manifest) -> int:
    """Return the bytes that one row holds, caches and what the source left at their full capacity."""
    return sum(np.dtype(spec.dtype).itemsize * math.prod(spec.shape) for spec in manifest.states)


def _size(count: int) -> str:
    return f"{count:,} B" if count < 10_000 else f"{count / 1024:,.0f} KiB"


if __name__ == "__main__":
    main()
