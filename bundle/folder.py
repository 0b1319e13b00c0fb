"""A bundle on disk: finding, opening and verifying it. Knows nothing about ONNX Runtime or how a bundle is made."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from bundle.graph import GraphError, check_graph
from bundle.manifest import FORMAT_VERSION, FileEntry, Manifest

MANIFEST = "bundle.json"
STEP_GRAPH = "step.onnx"
START_GRAPH = "start.onnx"
INSPECT_GRAPH = "inspect.onnx"
TOKENIZER = "tokenizer.json"
SOURCE_TOKENIZER = "source_tokenizer.json"
CHAT_TEMPLATE = "chat_template.jinja"
# Behind the name of a graph: its large weights, which the graph names in its turn.
DATA = ".data"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_MOST_MANIFEST_BYTES = 1 << 20
_LONGEST_MESSAGE = 1000
_PIECE = 1 << 20  # bytes that are hashed between two rests: less than a millisecond


class BundleError(ValueError):
    """A bundle cannot be used. The message is one line that names the file and the reason."""

    def __init__(self, message: str) -> None:
        """Whatever of a bundle is in `message`, it becomes one line that a terminal can show."""
        line = "".join(letter if letter.isprintable() else " " for letter in message)
        super().__init__(line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 1] + "…")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder whose files agree with its manifest."""

    path: Path
    manifest: Manifest

    @property
    def reference(self) -> str:
        """The model as "name@version"."""
        return f"{self.manifest.name}@{self.manifest.version}"


def open_bundle(path: Path, share: float | None = None) -> Bundle:
    """Read and verify the bundle in `path`. Raises BundleError.

    share: of one core's time that hashing its files may take; None: all of every core.
    """
    manifest = _read_manifest(path / MANIFEST)
    place, name = f"{path.parent.name}/{path.name}", f"{manifest.name}/{manifest.version}"
    if place != name:
        raise BundleError(f"{path / MANIFEST}: says that it is {name} and lies in {place}")
    required = {STEP_GRAPH, TOKENIZER} | ({START_GRAPH, SOURCE_TOKENIZER} if manifest.has_start else set())
    required |= {INSPECT_GRAPH} if manifest.views else set()
    if missing := sorted(required - manifest.files.keys()):
        raise BundleError(f"{path / MANIFEST}: files does not list {missing[0]}")
    if strangers := sorted({file.name for file in path.iterdir()} - {MANIFEST} - manifest.files.keys()):
        raise BundleError(f"{path / strangers[0]}: is not listed in {MANIFEST}")
    verify = partial(_verify_file, path, digest if share is None else partial(_slow_digest, share=share))
    with ThreadPoolExecutor(None if share is None else 1) as pool:  # hashing leaves the interpreter's lock
        list(pool.map(verify, manifest.files, manifest.files.values()))
    for graph in sorted({STEP_GRAPH, START_GRAPH, INSPECT_GRAPH} & manifest.files.keys()):
        data = manifest.files.get(graph + DATA)
        try:
            check_graph(path / graph, 0 if data is None else data.bytes)
        except GraphError as error:
            raise BundleError(f"{path / graph}: {error}") from None
    return Bundle(path, manifest)


def find_bundles(models: Path) -> list[Path]:
    """Return the folders `<models>/<name>/<version>` that hold a manifest, sorted. Raises BundleError."""
    if not models.is_dir():
        raise BundleError(f"{models}: no such folder of models")
    found = [path.parent for path in models.glob(f"*/*/{MANIFEST}") if path.parent.name.isdecimal()]
    return sorted(found, key=lambda path: (path.parent.name, int(path.name)))


def digest(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _slow_digest(path: Path, share: float) -> str:
    """Return what `digest` does, with rests: others want the cores, and a low priority needs luck with the lock."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        began = time.perf_counter()
        while piece := file.read(_PIECE):
            found.update(piece)
            time.sleep((time.perf_counter() - began) * (1 / share - 1))
            began = time.perf_counter()
    return found.hexdigest()


def _read_manifest(path: Path) -> Manifest:
    if not path.is_file():
        raise BundleError(f"{path}: no such file")
    if (size := path.stat().st_size) > _MOST_MANIFEST_BYTES:
        raise BundleError(f"{path}: has {size} bytes; allowed: {_MOST_MANIFEST_BYTES}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        # Half of a character, which JSON can escape, fits into no message that tells of the model.
        json.dumps(content, ensure_ascii=False).encode("utf-8")
    except (OSError, ValueError, RecursionError) as error:  # no JSON, no UTF-8, a number of 5,000 digits, too deep
        raise BundleError(f"{path}: not readable as JSON: {error}") from None
    if isinstance(content, dict) and content.get("format_version") != FORMAT_VERSION:
        given = content.get("format_version")
        raise BundleError(f"{path}: format_version is {given!r}, this program reads {FORMAT_VERSION}")
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "manifest"
        raise BundleError(f"{path}: {field}: {first['msg']}") from None


def _verify_file(folder: Path, digest: Callable[[Path], str], name: str, entry: FileEntry) -> None:
    path = folder / name
    if not _PLAIN.fullmatch(name) or path.is_symlink():
        raise BundleError(f"{folder / MANIFEST}: files: {name!r} is not a plain file name")
    if not path.is_file():
        raise BundleError(f"{path}: is listed in {MANIFEST} and missing")
    if (found := path.stat().st_size) != entry.bytes:
        raise BundleError(f"{path}: has {found} bytes, {MANIFEST} says {entry.bytes}")
    try:
        found_digest = digest(path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}") from None
    if found_digest != entry.sha256:
        raise BundleError(f"{path}: SHA-256 differs from {MANIFEST}")
