"""Parallel pairs of an encoder-decoder: read from tab-separated text or made from dates, and their split.

Knows nothing about tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.corpus import choose_by_size
from training.dates import date_pairs

Pair = tuple[str, str]

_DATES = 40_000


@dataclass(frozen=True, slots=True)
class PairsCorpus:
    """Pairs (source, target) and, for people, where they came from."""

    name: str
    pairs: tuple[Pair, ...]


def read_pairs(pairs: str, seed: int) -> PairsCorpus:
    """Read `pairs`: "dates", or a file with a source and a target, apart by one tab, in every line.

    Raises:
        ValueError: no such file, not UTF-8, or a line that is not a pair; with the line's number.
    """
    if pairs == "dates":
        return PairsCorpus("dates in 15 languages (Unicode CLDR)", tuple(date_pairs(_DATES, seed)))
    path = Path(pairs)
    if not path.is_file():
        raise ValueError(f"--pairs: {pairs} is neither a file nor the word dates")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise ValueError(f"--pairs: {pairs} is not UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"--pairs: {pairs}: {error.strerror}") from None
    read = tuple(_pair(pairs, number, line.removesuffix("\r")) for number, line in enumerate(lines, 1) if line.strip())
    return PairsCorpus(path.name, read)


def split_pairs(pairs: Sequence[Pair], fraction: float, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Split into training and held-out pairs: no source text is on both sides.

    Raises:
        ValueError: fewer than two different sources.
    """
    sources = list(dict.fromkeys(source for source, _ in pairs))
    if len(sources) < 2:
        raise ValueError(f"--pairs: needs at least 2 different sources to hold some out, found {len(sources)}")
    chosen = choose_by_size([1] * len(sources), fraction, seed)
    held_out = {source for index, source in enumerate(sources) if index in chosen}
    return [pair for pair in pairs if pair[0] not in held_out], [pair for pair in pairs if pair[0] in held_out]


def _pair(path: str, number: int, line: str) -> Pair:
    match line.split("\t"):
        case [source, target] if source and target:
            return source, target
        case parts:
            raise ValueError(
                f"--pairs: {path} line {number}: needs a source, one tab and a target, has {len(parts)} part(s)"
            )
