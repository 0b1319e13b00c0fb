"""SmolLM2-135M beside the peers: one stream, 8 and 32 streams, time to the first token, perplexity."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import tokenizers

from benchmarks.peers import texts
from benchmarks.peers.catalogue import LANGUAGE
from benchmarks.peers.contestant import Contestant, Failure
from benchmarks.peers.place import Place
from benchmarks.peers.results import FAILED, Results
from benchmarks.peers.turns import Case, line_up, take_turns

NEW_TOKENS, FIRST_PROMPT = 128, 128
LOSS_SECONDS = 150.0
# streams: most rounds, and seconds after which none begins
STREAMS = {1: (5, 40.0), 8: (3, 45.0), 32: (3, 60.0)}
BITS = (32, 8, 4)


def measure(place: Place, results: Results, tell: Callable[[str], None]) -> None:
    """Measure all systems, those of equal bits in turns."""
    tokenizer = tokenizers.Tokenizer.from_file(str(place.model("checkpoint") / "tokenizer.json"))
    cases = [*(_case(tokenizer, streams) for streams in STREAMS), _first_token(tokenizer)]
    names = [*(case.name for case in cases), "language-loss"]
    windows = texts.windows(place.folder, tokenizer)
    for bits in BITS:
        systems = [one for one in LANGUAGE if one.bits == bits]
        systems = [one for one in systems if not all(results.has(name, one.name) for name in names)]
        with line_up(systems, place, tell) as up:
            for case in cases:
                tell(f"{bits} bits: {case.name}")
                take_turns(case, up, place, results)
            tell(f"{bits} bits: perplexity")
            _losses(up, windows, results)


def _case(tokenizer: tokenizers.Tokenizer, streams: int) -> Case:
    lengths = texts.spread(streams)
    rounds, seconds = STREAMS[streams]
    return Case(
        name=f"language-{streams}",
        prompts=lambda number: texts.prompts(tokenizer, lengths, seed=1000 * streams + number),
        new_tokens=NEW_TOKENS,
        rounds=rounds,
        seconds=seconds,
    )


def _first_token(tokenizer: tokenizers.Tokenizer) -> Case:
    return Case(
        name="language-first-token",
        prompts=lambda number: texts.prompts(tokenizer, [FIRST_PROMPT], seed=100_000 + number),
        new_tokens=1,
        rounds=9,
        seconds=20.0,
    )


def _losses(up: Mapping[str, Contestant], windows: list[list[int]], results: Results) -> None:
    scored = len(windows) * (texts.WINDOW - 1 - texts.FIRST)
    for name, contestant in up.items():
        if results.has("language-loss", name):
            continue
        try:
            loss = contestant.loss(windows, texts.FIRST, LOSS_SECONDS) / scored
            results.put("language-loss", name, {"tokens": scored, "loss": loss, "perplexity": math.exp(loss)})
        except (Failure, OverflowError) as failure:
            results.put("language-loss", name, {FAILED: str(failure)})
