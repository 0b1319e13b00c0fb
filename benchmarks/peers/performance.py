"""What a run found, into docs: performance.json with every figure, the tables of performance.md, the plots."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.peers import pictures, summary
from benchmarks.peers.place import Place
from benchmarks.peers.results import Results
from benchmarks.tables import replaced


def write_performance(place: Place, results: Results, docs: Path) -> None:
    """Write all of it into `docs`; the page is there and has a place for every table, between two comments."""
    found = results.all()
    machine = json.loads((place.folder / "machine.json").read_text(encoding="utf-8"))
    whole = {"machine": machine, "results": found}
    (docs / "performance.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    page = docs / "performance.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(replaced(text, summary.tables(machine, found)), encoding="utf-8")
    pictures.draw(found, docs)
