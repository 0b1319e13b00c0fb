"""Versions of models put into folders, as somebody who deploys them would."""

import json
import shutil
from pathlib import Path

from tests.exported import Bundles


def put(bundles: Bundles, label: str, folder: Path, name: str, version: int) -> Path:
    """Put the bundle `label` into `folder` as a version of `name`, whole at once, and return where it is."""
    path, beside = folder / name / str(version), folder / f".{name}-{version}"
    shutil.copytree(bundles.path(label), beside)
    manifest = json.loads((beside / "bundle.json").read_text())
    (beside / "bundle.json").write_text(json.dumps({**manifest, "name": name, "version": version}))
    path.parent.mkdir(parents=True, exist_ok=True)
    return beside.rename(path)


def spoil(path: Path) -> None:
    """Change one byte of a bundle's graph."""
    graph = bytearray((path / "step.onnx").read_bytes())
    graph[len(graph) // 2] ^= 1
    (path / "step.onnx").write_bytes(graph)
