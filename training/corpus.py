"""The text of a language model: documents from a file, a folder or the standard library, and their split.

A document is one text file. Knows nothing about tokens.
"""

from __future__ import annotations

import hashlib
import platform
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Not the library's own source, or tests, or (the last two) tables of data.
_STDLIB_LEFT_OUT = frozenset(
    {"test", "tests", "idle_test", "site-packages", "dist-packages", "encodings", "pydoc_data"}
)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts and where they came from.

    Attributes:
        name: one line for people.
        documents: the texts, in the order of their file names.
        skipped: how many files of the folder are not UTF-8 text.
    """

    name: str
    documents: tuple[str, ...]
    skipped: int = 0


def read_corpus(data: str) -> Corpus:
    """Read `data`: "stdlib", a text file, or a folder of text files.

    Raises:
        ValueError: there is nothing to read at `data`, or it is not UTF-8 text.
    """
    if data == "stdlib":
        return _standard_library()
    path = Path(data)
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise ValueError(f"--data: {data} is neither a text file, nor a folder, nor the word stdlib")
    text = _text(path)
    if text is None:
        raise ValueError(f"--data: {data} is not UTF-8 text")
    if not text.strip():
        raise ValueError(f"--data: {data} is empty")
    return Corpus(path.name, (text,))


def split_documents(documents: Sequence[str], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """Split into training and validation documents, about `fraction` of the characters in the latter.

    A single document is cut at the end of a line (of a word, if it is all one line) instead.
    """
    if len(documents) == 1:
        head, tail = _cut(documents[0], fraction)
        return [head], [tail]
    chosen = choose_by_size([len(document) for document in documents], fraction, seed)
    training = [document for index, document in enumerate(documents) if index not in chosen]
    return training, [documents[index] for index in sorted(chosen)]


def choose_by_size(sizes: Sequence[int], fraction: float, seed: int) -> set[int]:
    """Choose at least one index and not all, at random, such that their sizes sum to about `fraction` of the total."""
    assert len(sizes) > 1
    room = fraction * sum(sizes)
    chosen: set[int] = set()
    for index in np.random.default_rng(seed).permutation(len(sizes)).tolist():
        if sizes[index] <= room and len(chosen) < len(sizes) - 1:
            chosen.add(index)
            room -= sizes[index]
    return chosen or {int(np.argmin(sizes))}


def excerpt(documents: Sequence[str], most: int = 2**16) -> str:
    """Return the beginnings of some documents, at most `most` bytes of UTF-8 together."""
    chosen = documents[:: max(1, len(documents) // 16)][:16]
    parts = [document.encode()[: most // len(chosen) - 1] for document in chosen]
    return "\n".join(part.decode(errors="ignore") for part in parts)


def fingerprint(texts: Iterable[str]) -> str:
    """Return the SHA-256 of the texts, in order and told apart, as 64 hexadecimal digits."""
    sha256 = hashlib.sha256()
    for text in texts:
        encoded = text.encode()
        sha256.update(len(encoded).to_bytes(8, "little"))
        sha256.update(encoded)
    return sha256.hexdigest()


def _standard_library() -> Corpus:
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = [path for path in root.rglob("*.py") if _STDLIB_LEFT_OUT.isdisjoint(path.relative_to(root).parts)]
    texts = [text for path in sorted(paths) if (text := _text(path))]
    if len(texts) < 2:
        raise ValueError(f"--data: the Python standard library at {root} has no source files to learn from")
    return Corpus(f"the standard library of Python {platform.python_version()}", tuple(texts))


def _folder(root: Path) -> Corpus:
    paths = sorted(path for path in root.rglob("*") if path.is_file() and not _hidden(path.relative_to(root)))
    texts = [_text(path) for path in paths]
    documents = tuple(text for text in texts if text and text.strip())
    if not documents:
        raise ValueError(f"--data: the folder {root} holds no UTF-8 text")
    return Corpus(root.resolve().name, documents, skipped=texts.count(None))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _text(path: Path) -> str | None:
    """Return the text of a file, or None if it is not text. Line ends stay as they are."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"--data: {path}: {error.strerror}") from None
    if b"\0" in content:
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _cut(text: str, fraction: float) -> tuple[str, str]:
    wanted = min(max(round(len(text) * (1 - fraction)), 1), len(text) - 1)
    for border in ("\n", " "):
        place = text.rfind(border, 0, wanted) + 1
        if place and text[place:].strip():
            return text[:place], text[place:]
    if len(text) < 2:
        raise ValueError("--data: one character cannot be split into training and validation text")
    return text[:wanted], text[wanted:]
