import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from bundle.folder import open_bundle
from bundle.runner import Runner

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_model" / "minimal_gated_unit.py"


def python(*arguments: str, folder: Path) -> str:
    command, environment = [sys.executable, *arguments], {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_is_trained_exported_and_runs_from_any_folder(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE, tmp_path)
    (tmp_path / "text.txt").write_text("the cat sat on the mat and the dog sat on the cat. " * 40, encoding="utf-8")
    assert python(EXAMPLE.name, "text.txt", folder=tmp_path).startswith("loss ")
    files = ["--checkpoint", "weights.pt", "--tokenizer", "tokenizer.json", "--threads", "1"]
    shown = python("-m", "export", f"{EXAMPLE.stem}:build", *files, "--name", "mgu", folder=tmp_path)
    path = tmp_path / shown.splitlines()[-1]
    bundle = open_bundle(path)
    assert path == tmp_path / "models" / "mgu" / "1"
    assert bundle.manifest.family == "MinimalGatedUnit"
    runner = Runner(bundle, threads=1)
    output = runner.step(runner.allocate(1), 0, np.array([[1, 7, 9]]), np.array([3]))
    assert np.isfinite(output.logits).all()


def test_the_model_of_the_example_takes_forty_lines() -> None:
    model, _, _ = EXAMPLE.read_text(encoding="utf-8").partition("\n\ndef build()")
    assert len(model.splitlines()) <= 40
