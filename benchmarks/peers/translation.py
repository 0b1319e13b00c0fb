"""An encoder-decoder of Marian's size beside CTranslate2 and transformers: 64 forced tokens at 1, 8 and 32 streams."""

from __future__ import annotations

import random
from collections.abc import Callable

from benchmarks.peers.catalogue import TRANSLATION
from benchmarks.peers.place import Place
from benchmarks.peers.results import Results
from benchmarks.peers.turns import Case, Prompts, line_up, take_turns

NEW_TOKENS, SHORTEST, LONGEST = 64, 10, 40
VOCABULARY = 32_000
STREAMS = {1: (7, 15.0), 8: (5, 20.0), 32: (5, 30.0)}


def measure(place: Place, results: Results, tell: Callable[[str], None]) -> None:
    """Measure all systems in turns."""
    cases = [Case(f"translation-{n}", _sources(n), NEW_TOKENS, *limits) for n, limits in STREAMS.items()]
    systems = [one for one in TRANSLATION if not all(results.has(case.name, one.name) for case in cases)]
    with line_up(systems, place, tell) as up:
        for case in cases:
            tell(case.name)
            take_turns(case, up, place, results)


def _sources(streams: int) -> Callable[[int], Prompts]:
    def sources(number: int) -> Prompts:
        source = random.Random(100 * streams + number)
        lengths = [source.randint(SHORTEST, LONGEST) for _ in range(streams)]
        return [[source.randrange(2, VOCABULARY - 1) for _ in range(length - 1)] + [0] for length in lengths]

    return sources
