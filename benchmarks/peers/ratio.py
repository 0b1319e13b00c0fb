"""Served against the bare loop of the same graph in one process: SmolLM2, 32 streams, in turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np

from benchmarks.bare import tokens_per_second
from benchmarks.peers.catalogue import System
from benchmarks.peers.contestant import Answer, Failure, model_name, running
from benchmarks.peers.place import Place
from benchmarks.peers.results import FAILED, Results
from bundle.folder import open_bundle
from bundle.runner import Runner

STREAMS, TOKENS, ROUNDS = 32, 128, 3
MODELS = ("ours-w8a8", "ours-fp32")
SECONDS = 45.0  # after which no further round begins
ANSWER_SECONDS = 150.0


def measure(place: Place, results: Results, tell: Callable[[str], None]) -> None:
    """Measure every model that there is."""
    for name in MODELS:
        if results.has("ratio", name):
            continue
        tell(f"served ÷ bare: {name}")
        try:
            results.put("ratio", name, _ratio(place, name))
        except (Failure, RuntimeError, OSError) as error:
            results.put("ratio", name, {FAILED: str(error)})


def _ratio(place: Place, name: str) -> dict[str, float]:
    if not place.model(name).exists():
        raise Failure(f"{name} was not prepared")
    runner = Runner(open_bundle(place.model(name) / model_name(place.model(name)) / "1"), threads=place.threads)
    system = System(name, name, 8, name, flags=("--rows", str(STREAMS)))
    prompts = [[runner.manifest.special_tokens.bos]] * STREAMS
    bare: list[float] = []
    served: list[float] = []
    with running(system, place, place.folder / "logs" / "ratio.log") as server:
        server.generate(prompts, 8, ANSWER_SECONDS)
        tokens_per_second(runner, STREAMS, 4)
        began = time.monotonic()
        while len(bare) < ROUNDS and (not bare or time.monotonic() - began < SECONDS):
            bare.append(tokens_per_second(runner, STREAMS, TOKENS))
            served.append(_rate(server.generate(prompts, TOKENS, ANSWER_SECONDS)))
    return {
        "bare_tokens_per_second": median(bare),
        "served_tokens_per_second": median(served),
        "served_over_bare": median(one / other for one, other in zip(served, bare, strict=True)),
        "rounds": len(bare),
    }


def _rate(answer: Answer) -> float:
    """Tokens a second while all streams run."""
    begin = max(stream[0] for stream in answer.arrivals)
    end = min(stream[-1] for stream in answer.arrivals)
    arrivals = np.concatenate([np.array(stream) for stream in answer.arrivals])
    return float(((arrivals > begin) & (arrivals <= end)).sum() / (end - begin))
