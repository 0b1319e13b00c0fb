"""The text that a precision is judged by: read, cut into rows of tokens, half to calibrate with and half held out.

A language model's text is cut into windows; a model with a source takes pairs, a source and a target in every line.
Alternating quarters go to the two sides, so that both see the beginning and the end of a file. Knows nothing about
graphs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.folder import SOURCE_TOKENIZER, TOKENIZER, Bundle
from bundle.tokenizer import Tokenizer
from export.sequences import Sequences

Ids = NDArray[np.int64]

# Tokens in a window, where the model takes as many; and at most on each side of the split, and at least.
WINDOW = 256
CALIBRATION_TOKENS = 2560
HELD_OUT_TOKENS = 4096
LEAST_TOKENS = 16
# One row of so many judges what is fitted to the others.
_FIFTH = 5


@dataclass(frozen=True, slots=True)
class Row:
    """Tokens that follow each other: all but the last are fed, all but the first predicted."""

    tokens: Ids
    source: Ids | None = None

    @property
    def fed(self) -> Sequences:
        return Sequences((self.tokens[:-1],), None if self.source is None else (self.source,))

    @property
    def predicted(self) -> Ids:
        return self.tokens[1:]


@dataclass(frozen=True, slots=True)
class Texts:
    """Rows on two sides that share no text, and where they are from."""

    calibration: tuple[Row, ...]
    held_out: tuple[Row, ...]
    name: str


def read_texts(path: Path, bundle: Bundle) -> Texts:
    """Read the text or the pairs in `path` as rows for `bundle`.

    Raises:
        ValueError: no such file, not UTF-8, not pairs where the model has a source, or too little; one line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"--calibration: {path} is not UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"--calibration: {path}: {error.strerror}") from None
    make = _pairs if bundle.manifest.has_start else _windows
    quarters = [list(make(quarter, path, bundle)) for quarter in _quarters(text)]
    sides = [
        [*first_rows(quarters[side], most // 2), *first_rows(quarters[side + 2], most // 2)]
        for side, most in enumerate((CALIBRATION_TOKENS, HELD_OUT_TOKENS))
    ]
    for side in sides:
        if (tokens := sum(len(row.predicted) for row in side)) < LEAST_TOKENS:
            raise ValueError(f"--calibration: {path} gives {tokens} tokens a side, needed are {LEAST_TOKENS}")
    return Texts(tuple(sides[0]), tuple(sides[1]), path.name)


def first_rows(rows: Sequence[Row], most: int, *, spread: bool = False) -> list[Row]:
    """Return the first of `rows` that predict `most` tokens together; the last may be cut.

    spread: take the beginnings of more rows instead, a third of `most` at most from each.
    """
    taken: list[Row] = []
    for row in rows:
        room = most - sum(len(before.predicted) for before in taken)
        room = min(room, most // 3) if spread else room
        if room > 0:
            taken.append(Row(row.tokens[: room + 1], row.source))
    return taken


def apart(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Split `rows` into those to fit something to and those to judge it by: every fifth, or the last of fewer.

    A single row is on both sides.
    """
    judged = list(rows[_FIFTH - 1 :: _FIFTH]) or list(rows[-1:])
    chosen = {id(row) for row in judged}
    return [row for row in rows if id(row) not in chosen] or list(rows), judged


def _quarters(text: str) -> list[str]:
    """Cut between lines where there are enough of them, and between characters where not."""
    lines = text.splitlines(keepends=True)
    parts: Sequence[str] = lines if len(lines) >= 8 else text
    ends = [len(parts) * quarter // 4 for quarter in range(5)]
    return ["".join(parts[first:end]) for first, end in pairwise(ends)]


def _windows(text: str, path: Path, bundle: Bundle) -> Iterator[Row]:
    manifest = bundle.manifest
    opening = [manifest.special_tokens.bos] if manifest.opens_with_bos else []
    ids = Tokenizer.load(bundle.path / TOKENIZER).encode(text)
    size = min(WINDOW, manifest.context_limit or WINDOW) + 1 - len(opening)
    for first in range(0, len(ids), size):
        row = np.array([*opening, *ids[first : first + size]], np.int64)
        if len(row) > 1:
            yield Row(row)


def _pairs(text: str, path: Path, bundle: Bundle) -> Iterator[Row]:
    manifest, special = bundle.manifest, bundle.manifest.special_tokens
    source_tokenizer = Tokenizer.load(bundle.path / SOURCE_TOKENIZER)
    tokenizer = Tokenizer.load(bundle.path / TOKENIZER)
    for line in text.splitlines():
        source, tab, target = line.partition("\t")
        if line.strip() and not (tab and source and target):
            raise ValueError(f"--calibration: {path}: {line[:40]!r} is no source, a tab and a target")
        read, written = source_tokenizer.encode(source), tokenizer.encode(target)
        row = np.array([special.bos, *written, special.eos], np.int64)
        fits = len(read) < (manifest.source_limit or 0) and len(row) - 1 <= (manifest.context_limit or len(row))
        if line.strip() and fits:
            yield Row(row, np.array([*read, special.eos], np.int64))
