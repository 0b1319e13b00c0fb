"""Bundles that are broken, or were made to do harm: a good one is copied, and changed in one way.

Accidents leave the manifest as it was. Whoever means harm writes a manifest to fit.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability import graphs
from benchmarks.reliability.damage import ACCIDENTS, Change, flip, sign
from benchmarks.reliability.documents import (
    NAMES,
    TEMPLATES,
    TEXTS,
    TOKENIZERS,
    manifest_field,
    named,
    template,
    tokenizer_field,
)
from benchmarks.reliability.stirring import stir
from bundle.folder import START_GRAPH, STEP_GRAPH


@dataclass(frozen=True, slots=True)
class Broken:
    """A folder of models that holds one bundle, and what was done to it."""

    models: Path
    how: str


def accidents(good: Path, place: Path, seed: int, count: int) -> Iterator[Broken]:
    """Yield bundles in which a file is not what the manifest says."""
    return _broken(good, place, seed, list(ACCIDENTS) * (count // len(ACCIDENTS)))


def manifests(good: Path, place: Path, seed: int, count: int) -> Iterator[Broken]:
    """Yield bundles with a manifest that says what none should, and texts that are no manifest."""
    names = [named(name) for name in NAMES]
    return _broken(good, place, seed, [*TEXTS, *names, *[manifest_field] * count])


def crafted(good: Path, place: Path, seed: int) -> Iterator[Broken]:
    """Yield bundles with graphs and tokenizers that were made to do harm in a way that is known."""
    return _broken(good, place, seed, [*map(_harmed, graphs.HARMS), *TOKENIZERS])


def stirred(good: Path, place: Path, seed: int, count: int) -> Iterator[Broken]:
    """Yield bundles with graphs, weights and tokenizers changed by chance, or odd templates; with a manifest to fit."""
    changes = [_stir, _flip_signed, tokenizer_field] * (count // 3)
    return _broken(good, place, seed, [*map(template, TEMPLATES), *changes])


def _broken(good: Path, place: Path, seed: int, changes: Sequence[Change]) -> Iterator[Broken]:
    names = sorted(path.name for path in good.iterdir())
    for number, change in enumerate(changes):
        chance = random.Random(f"{seed}/{number}")
        name = chance.choice(names)
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(good / name, place / name)
        change(place / name / "1", chance)
        yield Broken(place, f"{change.__name__.strip('_')} {number} of seed {seed}, {name}")


def _harmed(harm: graphs.Harm) -> Change:
    def graph(folder: Path, _: random.Random) -> None:
        graphs.harm(folder / STEP_GRAPH, harm)
        sign(folder)

    return graph


def _stir(folder: Path, chance: random.Random) -> None:
    names = [name for name in (STEP_GRAPH, START_GRAPH) if (folder / name).exists()]
    graphs.harm(folder / chance.choice(names), stir(chance))
    sign(folder)


def _flip_signed(folder: Path, chance: random.Random) -> None:
    flip(folder, chance)
    sign(folder)
