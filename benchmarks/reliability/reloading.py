"""Versions of half a gigabyte come and go while streams of a model run: how long their tokens have to be waited for."""

from __future__ import annotations

from pathlib import Path

from benchmarks.models import LARGE, MODELS, prepare
from benchmarks.reliability.claim import Claim
from benchmarks.reload import measure as measure_reload

TITLE = "Reload without a gap"

LOADED, STREAMED = "large", ("gru", "transformer-lm")
QUICK_LOADED, QUICK_STREAMED = "transformer-lm", ("gru",)
STREAMS, ROUNDS = 4, 3
# Promised: by how much the times between two tokens may grow, mean, median and 99th percentile.
MOST_SLOWER = 2.0
_OF = ("mean", "median", "p99")
_SPANS = {"loading": "loaded", "freeing": "freed"}


def measure(folder: Path, quick: bool) -> list[Claim]:
    """Load and free a version, again and again, beside streams of every model in turn."""
    loaded, streamed = (QUICK_LOADED, QUICK_STREAMED) if quick else (LOADED, STREAMED)
    models = prepare(folder, {loaded, *streamed}, MODELS | LARGE)
    return [_claim(models, name, loaded, 1 if quick else ROUNDS) for name in streamed]


def _claim(models: Path, streamed: str, loaded: str, rounds: int) -> Claim:
    found = measure_reload(models, streamed, loaded, STREAMS, rounds, ["--rows", "8"])
    slower = {span: {key: found[f"{span}_{key}_ms"] / found[f"rest_{key}_ms"] for key in _OF} for span in _SPANS}
    told = "; ".join(
        f"while it is {word} {', '.join(f'{key} {value:.2f}' for key, value in slower[span].items())} times as long, "
        f"largest {found[f'{span}_largest_ms']:.1f} ms"
        for span, word in _SPANS.items()
    )
    size = sum(file.stat().st_size for file in (models / loaded / "1").glob("step.onnx*"))
    return Claim(
        f"Streams of {streamed}: while a version of {loaded} ({size / 1e9:.2f} GB) is loaded, and while it is "
        f"freed, tokens take at most {MOST_SLOWER:g} times what they take at rest: mean, median, 99th percentile",
        f"{STREAMS} streams, {rounds} rounds; at rest mean {found['rest_mean_ms']:.2f}, p99 "
        f"{found['rest_p99_ms']:.2f}, largest {found['rest_largest_ms']:.1f} ms; {told}; "
        f"loading takes {found['loading_seconds']:.1f} s",
        all(value <= MOST_SLOWER for one in slower.values() for value in one.values()),
    )
