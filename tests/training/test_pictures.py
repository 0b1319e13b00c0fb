"""The two commands that make the pictures of the documentation, on a small scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.__main__ import main
from training.compare import VARIANTS
from training.models.families import FAMILIES


def test_every_family_of_language_models_is_compared():
    assert {family for family, _ in VARIANTS.values()} == {
        name for name, family in FAMILIES.items() if family.task == "language"
    }


def test_compare_writes_a_table_and_a_picture(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "docs"
    flags = ["--minutes-per-model", "0.005", "--data", str(corpus), "--vocabulary-size", "300", "--threads", "1"]
    assert (
        main(["compare", *flags, "--sequence-length", "16", "--out", str(out), "--runs", str(tmp_path / "runs")]) == 0
    )
    table = (out / "compare.md").read_text()
    assert all(f"| {name} |" in table for name in VARIANTS)
    assert "![Validation loss against time and against parameters](compare.png)" in table
    assert (out / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert "nan" not in table


def test_gradients_writes_its_picture(corpus: Path, tmp_path: Path):
    flags = ["--minutes", "0.003", "--data", str(corpus), "--vocabulary-size", "300", "--threads", "1", "--width", "16"]
    flags += ["--lag", "20", "--rows", "4", "--out", str(tmp_path / "docs"), "--runs", str(tmp_path / "runs")]
    assert main(["gradients", *flags]) == 0
    assert (tmp_path / "docs" / "gradients.png").read_bytes().startswith(b"\x89PNG")
