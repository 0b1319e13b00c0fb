"""python -m benchmarks.reliability: every promise of docs/reliability.md against real servers, and the figures into it.

Every part is a file of its own under FOLDER/results. Exits with 1 if a promise does not hold.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from pathlib import Path

import uvloop

from benchmarks.reliability import clients, faults, fuzz, hostile, overload, reloading, replicas, seeds, soak, state
from benchmarks.reliability.part import Part
from benchmarks.reliability.record import record, write
from benchmarks.reliability.report import write_report

PARTS: dict[str, Part] = {
    "replicas": replicas,
    "seeds": seeds,
    "overload": overload,
    "clients": clients,
    "hostile": hostile,
    "faults": faults,
    "reloading": reloading,
    "state": state,
}
# What is measured only where it is named: for as long as it takes.
LONG: dict[str, Part] = {"fuzz": fuzz, "soak": soak}


def main() -> None:
    """Measure all parts or some, and report."""
    parser = _parser()
    options = parser.parse_args()
    if unknown := [name for name in options.parts if name not in PARTS | LONG]:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(PARTS | LONG)}")
    page = options.docs / "reliability.md"
    results = options.folder / "results"
    broken = [name for name in options.parts or PARTS if not _measure(name, options.folder, results, options.quick)]
    if not options.quick:
        write_report(results, page)
        print(page)
    if broken:
        sys.exit(f"does not hold: {', '.join(broken)}")


def _measure(name: str, folder: Path, results: Path, quick: bool) -> bool:
    """Measure one part and tell what was found; return whether all of it holds. What raises keeps nothing else back."""
    part, began = (PARTS | LONG)[name], time.monotonic()
    print(f"{name}: {part.TITLE}", flush=True)
    (folder / name).mkdir(parents=True, exist_ok=True)
    try:
        claims = part.measure(folder / name, quick)
    except Exception:  # noqa: BLE001 told in full, and the exit status says it
        traceback.print_exc()
        return False
    for one in claims:
        print(f"  {'holds' if one.holds else 'BROKEN'}  {one.promise} {one.figure}", flush=True)
    found = record(part.TITLE, time.monotonic() - began, quick, claims)
    if not quick:
        write(found, results / f"{name}.json")
    return all(one.holds for one in claims)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} [all]; {', '.join(LONG)}")
    parser.add_argument("--quick", action="store_true", help="only try whether everything runs, and report nothing")
    parser.add_argument("--folder", type=Path, default=Path("runs/reliability"), help="for all files [%(default)s]")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where reliability.md lies [%(default)s]")
    return parser


if __name__ == "__main__":
    # Ended from outside, all that was started ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    uvloop.install()
    main()
