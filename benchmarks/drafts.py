"""python -m benchmarks.drafts: what drafts gain for one stream, through the server, where text repeats and where not.

The same requests alternate between no drafts, prompt lookup and, with --drafter, a draft model (benchmarks/drafter.py)
and both. Told are the medians of tokens/s between a stream's first and last token, as the client sees them, and how
many of the proposed tokens were taken. `--models` holds a bundle of the large model, by default what `python -m
benchmarks.smollm2` exports; a drafter is put beside it if there is none.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import median

from benchmarks.drafter import write_drafter
from benchmarks.server import serving
from benchmarks.tables import table
from export.write import Target
from service.client import Client
from training.run import load_run

DRAFTER = "trigram"

CODE = """class Inventory:
    def __init__(self):
        self.items = {}

    def add(self, name, amount):
        if amount <= 0:
            raise ValueError("amount must be positive")
        self.items[name] = self.items.get(name, 0) + amount

    def remove(self, name, amount):
        if self.items.get(name, 0) < amount:
            raise KeyError(name)
        self.items[name] -= amount
"""
TEXT = """The harbour of Vardal lies at the end of a long fjord. In winter the ice closes it for eleven weeks, and the \
last ship leaves on the tenth of December. The pilots then live in the lighthouse, which was built in 1871 from the \
stones of an older chapel. Every spring the first ship is greeted with a song that the fishermen's wives composed, and \
the mayor gives its captain a silver spoon."""

REPEATING = {
    "copy code": f"Repeat this code exactly, without any change:\n\n```python\n{CODE}```",
    "edit code": f"Rename the class to Store and change nothing else:\n\n```python\n{CODE}```",
    "copy text": f"Repeat the following text word for word:\n\n{TEXT}",
    "summary": f"Summarise the following text in its own words and sentences:\n\n{TEXT}",
}
FREE = {
    "story": "Tell me a story about a dragon who is afraid of heights.",
    "essay": "Explain why the sky is blue and sunsets are red.",
    "code": "Write a Python function that parses a date such as 3 March 2024.",
    "letter": "Write a letter of complaint to an airline about a lost suitcase.",
}


_BY_MODEL: dict[str, object] = {"model": DRAFTER, "both": {"prompt_lookup": True, "model": DRAFTER}}


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A request, made again in every round: which prompt, and what kind of drafts."""

    name: str
    prompt: str
    kind: str
    options: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream: tokens/s between first and last token, and what became of drafts."""

    speed: float
    drafted: int
    accepted: int


def main() -> None:
    """Measure and print a table for each kind of text."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drafts", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("runs/smollm2/models"), help="bundles [%(default)s]")
    parser.add_argument("--run", type=Path, default=Path("runs/smollm2/run"), help="its run folder [%(default)s]")
    parser.add_argument("--model", default="smollm2", help="which of them [%(default)s]")
    parser.add_argument("--tokens", type=int, default=128, help="of every stream [%(default)s]")
    parser.add_argument("--rounds", type=int, default=3, help="streams for every prompt and kind [%(default)s]")
    parser.add_argument("--drafter", action="store_true", help="a draft model, too")
    parser.add_argument("--prompts", nargs="+", choices=[*REPEATING, *FREE], help="only these [all]")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy [%(default)s]")
    given = parser.parse_args()
    if given.drafter and not (given.models / DRAFTER / "1").exists():
        write_drafter(load_run(given.run), Target(given.models, DRAFTER, 1))
    options = {"max_new_tokens": given.tokens, "temperature": given.temperature, "seed": 7}
    kinds = {"off": "off", "lookup": "prompt"} | (_BY_MODEL if given.drafter else {})
    for text, prompts in (("repeats its prompt", REPEATING), ("does not", FREE)):
        if chosen := {name: prompts[name] for name in given.prompts or prompts if name in prompts}:
            requests = [
                Asked(name, prompt, kind, {**options, "drafts": drafts})
                for name, prompt in chosen.items()
                for kind, drafts in kinds.items()
            ]
            found = asyncio.run(_measure(given.models, given.model, requests, given.rounds))
            print(f"\n{given.model}, text that {text}:\n\n{_table(found)}", flush=True)


async def _measure(models: Path, model: str, requests: Sequence[Asked], rounds: int) -> dict[Asked, list[Stream]]:
    found: dict[Asked, list[Stream]] = {asked: [] for asked in requests}
    with serving(models) as server:
        async with Client(server.address) as client:
            for turn in range(rounds + 1):
                for asked in requests:
                    stream = await _stream(client, model, asked)
                    if turn:  # the first warms up
                        found[asked].append(stream)
    return found


async def _stream(client: Client, model: str, asked: Asked) -> Stream:
    turns, times, tokens = [{"role": "user", "content": asked.prompt}], list[float](), list[int]()
    generation = client.generate(model, turns, ignore_end_of_sequence=True, **asked.options)  # type: ignore[arg-type]
    async for delta in generation:
        times.append(time.perf_counter())
        tokens.append(len(delta.token_ids))
    (finished,) = generation.finished
    speed = sum(tokens[1:]) / (times[-1] - times[0])
    return Stream(speed, finished.drafted_tokens, finished.accepted_tokens)


def _table(found: Mapping[Asked, Sequence[Stream]]) -> str:
    by_kind: dict[str, dict[str, Sequence[Stream]]] = {}
    for asked, streams in found.items():
        by_kind.setdefault(asked.kind, {})[asked.name] = streams
    plain = {name: median(stream.speed for stream in streams) for name, streams in by_kind.pop("off").items()}
    ratios = {
        kind: {name: median(stream.speed for stream in runs) / plain[name] for name, runs in streams.items()}
        for kind, streams in by_kind.items()
    }
    rows = [
        (name, f"{speed:.1f}", *(f"{ratios[kind][name]:.2f}x ({_taken(by_kind[kind][name])})" for kind in by_kind))
        for name, speed in plain.items()
    ]
    means = [f"{prod(values.values()) ** (1 / len(values)):.2f}x" for values in ratios.values()]
    return table(("", "tokens/s without", *by_kind), [*rows, ("geometric mean", "", *means)])


def _taken(streams: Sequence[Stream]) -> str:
    return f"{sum(stream.accepted for stream in streams)} of {sum(stream.drafted for stream in streams)} taken"


if __name__ == "__main__":
    main()
