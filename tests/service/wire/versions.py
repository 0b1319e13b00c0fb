"""Versions of models put into folders, as somebody who deploys them would."""

import json
import shutil
from pathlib import Path

import onnx

from bundle.folder import digest
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


def cripple(path: Path) -> None:
    """Leave the embedding of a bundle's first token alone: its graph loads, and its steps fail."""
    model = onnx.load(path / "step.onnx")
    (lookup,) = (node for node in model.graph.node if node.op_type == "Gather" and "tokens" in node.input)
    (table,) = (tensor for tensor in model.graph.initializer if tensor.name == lookup.input[0])
    model.graph.initializer.append(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(table)[:1], "short"))
    lookup.input[0] = "short"
    onnx.save(model, path / "step.onnx")
    manifest = json.loads((path / "bundle.json").read_text())
    manifest["files"]["step.onnx"] = {
        "sha256": digest(path / "step.onnx"),
        "bytes": (path / "step.onnx").stat().st_size,
    }
    (path / "bundle.json").write_text(json.dumps(manifest))
