"""Damage to the files of a bundle, as accidents do it: the manifest stays as it was. Or a manifest is made to fit."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

from bundle.folder import MANIFEST, STEP_GRAPH, TOKENIZER

Change = Callable[[Path, random.Random], None]


def sign(folder: Path) -> None:
    """Let the manifest say what the files are now."""
    manifest = json.loads((folder / MANIFEST).read_text())
    files = [file for file in folder.iterdir() if file.name != MANIFEST]
    manifest["files"] = {
        file.name: {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "bytes": file.stat().st_size}
        for file in files
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))


def _some_file(folder: Path, chance: random.Random) -> Path:
    return chance.choice(sorted(file for file in folder.iterdir() if file.name != MANIFEST))


def flip(folder: Path, chance: random.Random) -> None:
    file = _some_file(folder, chance)
    content = bytearray(file.read_bytes())
    for _ in range(chance.choice((1, 1, 3, 20))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def _truncate(folder: Path, chance: random.Random) -> None:
    file = _some_file(folder, chance)
    os.truncate(file, chance.randrange(file.stat().st_size))


def _lengthen(folder: Path, chance: random.Random) -> None:
    with _some_file(folder, chance).open("ab") as file:
        file.write(chance.randbytes(chance.choice((1, 100))))


def _remove(folder: Path, chance: random.Random) -> None:
    _some_file(folder, chance).unlink()


def _swap(folder: Path, chance: random.Random) -> None:
    one, other = _some_file(folder, chance), folder / TOKENIZER
    if one == other:
        one = folder / STEP_GRAPH
    one.rename(folder / "aside")
    other.rename(one)
    (folder / "aside").rename(other)


def _link(folder: Path, chance: random.Random) -> None:
    file = _some_file(folder, chance)
    file.unlink()
    file.symlink_to(chance.choice(("/dev/zero", "/etc/passwd", "nowhere", ".")))


def _pipe(folder: Path, chance: random.Random) -> None:
    file = chance.choice((_some_file(folder, chance), folder / MANIFEST))
    file.unlink()
    os.mkfifo(file)


def _folder(folder: Path, chance: random.Random) -> None:
    file = chance.choice((_some_file(folder, chance), folder / MANIFEST))
    file.unlink()
    file.mkdir()
    (file / "x").touch()


def _stranger(folder: Path, _: random.Random) -> None:
    (folder / "step.onnx.data2").write_text("x")


def _truncate_manifest(folder: Path, chance: random.Random) -> None:
    # The last byte may be the end of a line.
    os.truncate(folder / MANIFEST, chance.randrange((folder / MANIFEST).stat().st_size - 1))


ACCIDENTS: tuple[Change, ...] = (
    flip, flip, flip, _truncate, _lengthen, _remove, _swap, _link, _pipe, _folder, _stranger, _truncate_manifest,
)  # fmt: skip
