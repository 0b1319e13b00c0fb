"""How cost grows, ours alone: with the context, the streams, the vocabulary and the prompt. Untrained models."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.peers.catalogue import System
from benchmarks.peers.contestant import Answer, Failure, running
from benchmarks.peers.place import Place
from benchmarks.peers.results import FAILED, Results
from benchmarks.peers.untrained import NAME, prepare
from bundle.folder import open_bundle
from bundle.runner import Runner

CONTEXTS = (256, 512, 1024, 2048, 4096, 8000)
STREAMS = (1, 4, 16, 64, 256, 1024)
VOCABULARIES = (2_000, 8_000, 32_000, 128_000)
PROMPTS = (16, 64, 256, 1024, 4096)
ROWS = 8  # of the steps that are timed in one process
_STEPS, _ROUNDS, _TOKENS = 12, 3, 32
ANSWER_SECONDS = 120.0
Config = Mapping[str, int]
_TRANSFORMER: Config = {
    "width": 256, "layers": 6, "heads": 4, "kv_heads": 2, "vocabulary_size": 8_000, "context_limit": 8192,
}  # fmt: skip
_GRU: Config = {"width": 512, "layers": 1, "vocabulary_size": 2_000}


def measure(place: Place, results: Results, tell: Callable[[str], None]) -> None:
    """Measure the four; each has its file."""
    parts: dict[str, Callable[[Place], dict[str, list[float]]]] = {
        "context": _by_context,
        "streams": _by_streams,
        "vocabulary": _by_vocabulary,
        "prompt": _by_prompt,
    }
    for name, part in parts.items():
        if not results.has("growth", name):
            tell(f"growth: {name}")
            try:
                results.put("growth", name, part(place))
            except (Failure, RuntimeError, ValueError) as error:
                results.put("growth", name, {FAILED: str(error)})


def _by_context(place: Place) -> dict[str, list[float]]:
    """Seconds of a decode step of ROWS rows that hold so many tokens, and bytes of cache that it reads."""
    runner = _runner(prepare(place.model("growth-transformer"), "transformer-lm", _TRANSFORMER), place.threads)
    rows = runner.allocate(ROWS)
    bytes_a_token = sum(
        4 * int(np.prod(spec.shape)) / spec.shape[spec.axis] * ROWS
        for spec in runner.manifest.states
        if spec.kind == "cache" and spec.axis is not None
    )
    seconds, held = [], 0
    for context in CONTEXTS:
        for row in range(ROWS):
            _fill(runner, rows, row, context - held)
        held = context
        times = _steps(runner, rows, ROWS)
        held += len(times)
        seconds.append(median(times))
    return {"x": list(CONTEXTS), "seconds": seconds, "cache_bytes": [bytes_a_token * one for one in CONTEXTS]}


def _by_vocabulary(place: Place) -> dict[str, list[float]]:
    """Seconds of a decode step of ROWS rows, and bytes of the table of the head that it reads."""
    seconds = []
    for size in VOCABULARIES:
        config = {**_GRU, "vocabulary_size": size}
        runner = _runner(prepare(place.model(f"growth-gru-{size}"), "gru", config), place.threads)
        times = [median(_steps(runner, runner.allocate(ROWS), ROWS)) for _ in range(_ROUNDS)]
        seconds.append(median(times))
    tables = [4.0 * _GRU["width"] * size for size in VOCABULARIES]
    return {"x": list(VOCABULARIES), "seconds": seconds, "table_bytes": tables}


def _by_streams(place: Place) -> dict[str, list[float]]:
    """Tokens a second of so many streams at once through gRPC, the best 99th percentile of gaps and the memory."""
    model = place.model("growth-gru-2000")
    prepare(model, "gru", _GRU)
    most = str(max(STREAMS))
    flags = ("--rows", most, "--queue-limit", str(2 * max(STREAMS)), "--connection-calls", most)
    system = System("growth", "seqstream", 32, model.name, flags=flags)
    rates, gaps, resident = [], [], []
    with running(system, place, place.folder / "logs" / "growth.log") as server:
        server.generate(_prompts(4, 4, 0), 4, ANSWER_SECONDS)
        for streams in STREAMS:
            tokens = max(_TOKENS, 512 // streams)
            server.generate(_prompts(streams, 4, 0), 4, ANSWER_SECONDS)
            answers = [server.generate(_prompts(streams, 4, number), tokens, ANSWER_SECONDS) for number in (1, 2, 3)]
            rates.append(median(streams * tokens / _last(answer) for answer in answers))
            gaps.append(min(_gap_99(answer) for answer in answers))
            resident.append(float(answers[-1].resident_bytes))
    return {"x": list(STREAMS), "tokens_per_second": rates, "gap_seconds_99": gaps, "resident_bytes": resident}


def _by_prompt(place: Place) -> dict[str, list[float]]:
    """Seconds to the first token of a lone call, through gRPC."""
    model = place.model("growth-transformer")
    prepare(model, "transformer-lm", _TRANSFORMER)
    system = System("growth", "seqstream", 32, model.name, flags=("--rows", "4"))
    seconds = []
    with running(system, place, place.folder / "logs" / "growth.log") as server:
        for length in PROMPTS:
            server.generate(_prompts(1, length, 0), 1, ANSWER_SECONDS)
            answers = [server.generate(_prompts(1, length, number), 1, ANSWER_SECONDS) for number in (1, 2, 3)]
            seconds.append(median(answer.arrivals[0][0] for answer in answers))
    return {"x": list(PROMPTS), "seconds": seconds}


def _runner(models: Path, threads: int) -> Runner:
    return Runner(open_bundle(models / NAME / "1"), threads=threads)


def _fill(runner: Runner, rows: object, row: int, tokens: int, piece: int = 512) -> None:
    for begin in range(0, tokens, piece):
        count = min(piece, tokens - begin)
        runner.step(rows, row, np.full((1, count), 5, np.int64), np.array([count]))  # type: ignore[arg-type]


def _steps(runner: Runner, rows: object, count: int) -> list[float]:
    ones, times = np.ones(count, np.int64), []
    tokens = np.full((count, 1), 5, np.int64)
    for _ in range(_STEPS):
        began = time.perf_counter()
        runner.step(rows, 0, tokens, ones)  # type: ignore[arg-type]
        times.append(time.perf_counter() - began)
    return times


def _prompts(streams: int, length: int, seed: int) -> list[list[int]]:
    source = random.Random(seed)
    return [[source.randrange(3, _GRU["vocabulary_size"]) for _ in range(length)] for _ in range(streams)]


def _last(answer: Answer) -> float:
    return max(stream[-1] for stream in answer.arrivals)


def _gap_99(answer: Answer) -> float:
    gaps: Sequence[np.ndarray[tuple[int], np.dtype[np.float64]]] = [np.diff(stream) for stream in answer.arrivals]
    return float(np.percentile(np.concatenate(gaps), 99))
