from __future__ import annotations

from pathlib import Path

import pytest

from training.atomic import replacing
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

CHECKPOINT = Checkpoint(
    step=3, seconds=1.5, best_loss=2.0, stale=1, data_sha256="ab", model={}, optimizer={}, scaler={}
)


def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), replacing(path) as file:
        file.write(b"half of the n")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path):
    save_checkpoint(tmp_path, CHECKPOINT)
    assert load_checkpoint(tmp_path) == CHECKPOINT


@pytest.mark.parametrize("kept", [0, 10, 400])
def test_a_truncated_checkpoint_is_refused_in_one_line(tmp_path: Path, kept: int):
    save_checkpoint(tmp_path, CHECKPOINT)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"checkpoint\.pt: not a checkpoint") as caught:
        load_checkpoint(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_checkpoint_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"checkpoint\.pt: no such file"):
        load_checkpoint(tmp_path)
