"""Figures on disk: one JSON file for every case and system, so that a run that broke off goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FAILED = "failed"
Figures = dict[str, Any]


class Results:
    """The results of one run in a folder, `<case>/<system>.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, case: str, system: str) -> bool:
        """Return whether this was measured; what failed is tried again."""
        path = self._path(case, system)
        return path.exists() and FAILED not in json.loads(path.read_text(encoding="utf-8"))

    def put(self, case: str, system: str, figures: Mapping[str, Any]) -> None:
        """Write what was measured, or {FAILED: reason}."""
        path = self._path(case, system)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")

    def all(self) -> dict[str, dict[str, Figures]]:
        """Return case -> system -> figures."""
        found: dict[str, dict[str, Figures]] = {}
        for path in sorted(self.folder.glob("*/*.json")):
            found.setdefault(path.parent.name, {})[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def _path(self, case: str, system: str) -> Path:
        return self.folder / case / f"{system}.json"
