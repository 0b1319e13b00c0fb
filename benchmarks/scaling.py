"""python -m benchmarks.scaling: several servers behind balancers, measured here, and many more, computed from that.

Prints every table as Markdown, puts those that docs/scaling.md has into it, and draws its pictures.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import uvloop

from benchmarks import measured as measuring
from benchmarks.computed import compute
from benchmarks.drawing import draw
from benchmarks.measured import Measured
from benchmarks.models import prepare
from benchmarks.tables import computed_tables, measured_tables, replaced


def main() -> None:
    """Measure, or read what was measured; compute; print, write and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/benchmarks"), help="for models, figures [%(default)s]"
    )
    parser.add_argument("--measured", type=Path, metavar="FILE", help="compute from figures of an earlier run only")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where scaling.md lies [%(default)s]")
    options = parser.parse_args()
    page = options.docs / "scaling.md"
    if not page.is_file():
        parser.error(f"--docs {options.docs}: there is no scaling.md in it")
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:4.0f} s  {what}", file=sys.stderr, flush=True)

    measured = _measured(options, parser) if options.measured else _measure(options.folder, say)
    for name, reason in measured.replicas.missing.items():
        say(f"without {name}: {reason}")
    computed = compute(measured, say)
    say("done")
    tables = {**measured_tables(measured), **computed_tables(computed)}
    print("\n\n".join(f"{name}\n\n{table}" for name, table in tables.items()))
    page.write_text(replaced(page.read_text(encoding="utf-8"), tables), encoding="utf-8")
    draw(computed, options.docs)


def _measure(folder: Path, say: measuring.Say) -> Measured:
    measured = measuring.measure(prepare(folder), say)
    measuring.write(measured, folder / "scaling.json")
    return measured


def _measured(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Measured:
    try:
        return measuring.read(options.measured)
    except (OSError, ValueError) as error:
        parser.error(f"--measured {options.measured}: {str(error).splitlines()[0]}")


if __name__ == "__main__":
    uvloop.install()
    main()
