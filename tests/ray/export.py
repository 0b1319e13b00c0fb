"""`python -m tests.ray.export FOLDER`: puts tiny bundles there. Needs PyTorch, which Ray's environment has not."""

import json
import shutil
import sys
from pathlib import Path

import torch

from tests.exported import ROOT, open_bundles


def main(folder: Path) -> None:
    """Export a GRU, and the same one under another name."""
    torch.set_num_threads(1)
    exported = open_bundles(ROOT / ".pytest_cache" / "bundles").path("gru")
    for name in ("gru", "lone"):
        path = folder / name / "1"
        shutil.copytree(exported, path)
        manifest = json.loads((path / "bundle.json").read_text())
        (path / "bundle.json").write_text(json.dumps({**manifest, "name": name}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
