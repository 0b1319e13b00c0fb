"""Systems that take turns: all are up, every round asks each once, and who begins moves on by one a round."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from benchmarks.peers.catalogue import System
from benchmarks.peers.contestant import Answer, Contestant, Failure, running
from benchmarks.peers.place import Place
from benchmarks.peers.results import FAILED, Figures, Results

Prompts = list[list[int]]
ANSWER_SECONDS = 150.0


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked in turns.

    Attributes:
        name: of the folder of its results.
        prompts: of a round, by its number; no two rounds ask the same.
        new_tokens: behind every prompt.
        rounds: at most.
        seconds: after which no further round begins.
    """

    name: str
    prompts: Callable[[int], Prompts]
    new_tokens: int
    rounds: int
    seconds: float


@contextlib.contextmanager
def line_up(systems: Iterable[System], place: Place, tell: Callable[[str], None]) -> Iterator[dict[str, Contestant]]:
    """Start all systems; those that do not start are told and left out."""
    logs = place.folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        up: dict[str, Contestant] = {}
        for system in systems:
            try:
                up[system.name] = stack.enter_context(running(system, place, logs / f"{system.name}.log"))
            except (Failure, RuntimeError, OSError) as error:
                tell(f"{system.label}: {error}")
                reason = str(error)
                up[system.name] = _Absent(reason)
        yield up


@dataclass(frozen=True, slots=True)
class _Absent:
    reason: str

    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int, timeout: float) -> Answer:
        raise Failure(self.reason)

    def loss(self, windows: Sequence[Sequence[int]], first: int, timeout: float) -> float:
        raise Failure(self.reason)


@dataclass(slots=True)
class _Record:
    answers: list[Answer] = field(default_factory=list)
    failure: str = ""


def take_turns(case: Case, up: Mapping[str, Contestant], place: Place, results: Results) -> None:
    """Measure the case for all that have no figures yet, and write them."""
    if place.quick:
        case = dataclasses.replace(case, new_tokens=min(8, case.new_tokens), rounds=1)
    waiting = {name: one for name, one in up.items() if not results.has(case.name, name)}
    records = {name: _Record() for name in waiting}
    for name, contestant in waiting.items():  # warm
        _ask(contestant, records[name], case.prompts(-1), min(4, case.new_tokens))
        records[name].answers.clear()
    began = time.monotonic()
    for number in range(case.rounds):
        if number and time.monotonic() - began > case.seconds:
            break
        names = list(waiting)
        start = number % max(1, len(names))
        for name in names[start:] + names[:start]:
            if not records[name].failure:
                _ask(waiting[name], records[name], case.prompts(number), case.new_tokens)
    for name, record in records.items():
        results.put(case.name, name, {FAILED: record.failure} if record.failure else figures(record.answers))


def _ask(contestant: Contestant, record: _Record, prompts: Prompts, new_tokens: int) -> None:
    try:
        answer = contestant.generate(prompts, new_tokens, ANSWER_SECONDS)
        short = min(map(len, answer.arrivals))
        if short < new_tokens:
            raise Failure(f"{short} of {new_tokens} tokens came")
        record.answers.append(answer)
    except Failure as failure:
        record.failure = str(failure)


def figures(answers: Sequence[Answer]) -> Figures:
    """Return what a case tells of some rounds: rates are medians over rounds, gaps are of all streams together."""
    arrivals = [[np.array(stream) for stream in answer.arrivals] for answer in answers]
    gaps = np.concatenate([np.diff(stream) for answer in arrivals for stream in answer] or [np.zeros(0)])
    found: dict[str, Any] = {
        "rounds": len(answers),
        "streams": len(arrivals[0]),
        "first_token_seconds": median(float(stream[0]) for answer in arrivals for stream in answer),
        "tokens_per_second": median(_rate(answer) for answer in arrivals),
        "tokens_per_second_of_rounds": [round(_rate(answer), 2) for answer in arrivals],
        "resident_bytes": max(answer.resident_bytes for answer in answers),
    }
    if len(gaps):
        found["decode_tokens_per_second"] = median(_decode_rate(answer) for answer in arrivals)
        found["gap_seconds_50"], found["gap_seconds_99"] = (float(np.percentile(gaps, at)) for at in (50, 99))
    return found


def _rate(streams: Sequence[np.ndarray[Any, Any]]) -> float:
    """Tokens a second from when all were sent until the last came, prompts included."""
    return float(sum(map(len, streams)) / max(stream[-1] for stream in streams))


def _decode_rate(streams: Sequence[np.ndarray[Any, Any]]) -> float:
    """Tokens a second behind the first token, the sum of all streams' own."""
    return float(sum((len(stream) - 1) / max(stream[-1] - stream[0], 1e-9) for stream in streams))
