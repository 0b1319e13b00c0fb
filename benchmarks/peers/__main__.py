"""python -m benchmarks.peers: ours and the peers in one run, into docs/performance.json, docs/performance.md and plots.

Every figure is a file of its own under FOLDER/results: a run that was broken off goes on, and what failed is tried
again. `make bench-peers` makes the environments first.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import uvloop

from benchmarks.peers import growth, language, ratio, recurrent, translation
from benchmarks.peers.conversion import prepare
from benchmarks.peers.machine import describe
from benchmarks.peers.performance import write_performance
from benchmarks.peers.place import Place
from benchmarks.peers.results import Results

PARTS: dict[str, Callable[[Place, Results, Callable[[str], None]], None]] = {
    "language": language.measure,
    "translation": translation.measure,
    "recurrent": recurrent.measure,
    "ratio": ratio.measure,
    "growth": growth.measure,
}


def main() -> None:
    """Prepare, measure and report; or only some of it."""
    parser, known = _parser(), ["prepare", *PARTS, "report"]
    options = parser.parse_args()
    if unknown := [name for name in options.parts if name not in known]:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(known)}")
    place = Place(
        folder=options.folder,
        python=options.python,
        openvino_python=options.openvino_python,
        triton_python=options.triton_python,
        llama=options.llama,
        threads=options.threads,
        quick=options.quick,
    )
    results, began = Results(place.results), time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {line}", flush=True)

    chosen = options.parts or known
    if "prepare" in chosen:
        prepare(place, tell)
    measured = [name for name in PARTS if name in chosen]
    if measured:
        place.results.mkdir(parents=True, exist_ok=True)
        (place.folder / "machine.json").write_text(json.dumps(describe(place), indent=2) + "\n", encoding="utf-8")
    broken = [name for name in measured if not _measure(name, place, results, tell)]
    if "report" in chosen:
        write_performance(place, results, options.docs)
        tell(f"{options.docs}/performance.md")
    if broken:
        sys.exit(f"broke off: {', '.join(broken)}; run again to go on")


def _measure(name: str, place: Place, results: Results, tell: Callable[[str], None]) -> bool:
    """Measure one part; return whether it came to its end. The next parts are measured whatever becomes of it."""
    try:
        PARTS[name](place, results, tell)
    except Exception:  # noqa: BLE001 told in full, and the exit status says it
        traceback.print_exc()
        return False
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"prepare, {', '.join(PARTS)}, report [all]",
    )
    parser.add_argument("--quick", action="store_true", help="only try whether everything runs")
    parser.add_argument("--folder", type=Path, default=Path("runs/peers"), help="for all files [%(default)s]")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where the report goes [%(default)s]")
    parser.add_argument("--threads", type=int, default=2, help="that compute, in every system [%(default)s]")
    parser.add_argument("--python", type=Path, default=Path(".venv-peers/bin/python"), help="the peers' [%(default)s]")
    converter = Path(".venv-peers-openvino/bin/python")
    parser.add_argument("--openvino-python", type=Path, default=converter, help="that converts for it [%(default)s]")
    triton = Path(".venv-peers-triton/bin/python")
    parser.add_argument("--triton-python", type=Path, default=triton, help="that runs PyTriton [%(default)s]")
    parser.add_argument("--llama", type=Path, default=Path(".venv-peers/llama/build/bin"), metavar="FOLDER",
                        help="of llama.cpp's programs [%(default)s]")  # fmt: skip
    return parser


if __name__ == "__main__":
    # Ended from outside, all that was started ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    uvloop.install()
    main()
