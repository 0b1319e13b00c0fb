"""stub"""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.place import Place
from benchmarks.peers.results import Results


def write_performance(place: Place, results: Results, docs: Path) -> None:
    """X."""
