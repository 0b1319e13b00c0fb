"""Requests and bundles that are broken or mean harm: what becomes of the server that gets them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.load import request, run_streams
from benchmarks.models import prepare
from benchmarks.reliability import bundles
from benchmarks.reliability.cases import METHODS
from benchmarks.reliability.claim import Claim
from benchmarks.reliability.forked import REFUSED, attempt
from benchmarks.reliability.good import Waits, ask
from benchmarks.reliability.watched import Left, Watched, watching
from benchmarks.reliability.wire import Outcome, send_cases
from bundle.folder import DATA, STEP_GRAPH, open_bundle
from bundle.graph import check_graph

TITLE = "Hostile and broken input"

SEED = 1
CASES, QUICK_CASES = 100_000, 2_000
BUNDLES, QUICK_BUNDLES = 240, 36
MODELS = ("gru", "transformer-lm", "transformer", "markov")
# Promised: how much slower, and how much larger, the server may be after all cases.
MOST_SLOWER, MOST_GROWTH_BYTES = 1.5, 32 << 20
_AT_ONCE = 64
# Of the cases, those before memory is looked at for the first time: they fill caches that stay.
_FIRST = 0.2
_PROBE_SECONDS = 3.0
_ROWS, _MOST_NEW = 32, 40
_FLAGS = ("--rows", str(_ROWS), "--max-new-tokens-limit", str(_MOST_NEW), "--threads", "1")
# Words, of a token each, that leave no more room than for new tokens.
_LONGEST = {"transformer-lm": 900, "transformer": 100}


def measure(folder: Path, quick: bool) -> list[Claim]:
    """Send every kind of request and open every kind of bundle, and return what held."""
    models = prepare(folder, MODELS)
    with watching(models, folder, *_FLAGS) as server:
        claims = asyncio.run(_measure_wire(server, QUICK_CASES if quick else CASES))
    # Forking is for a process that never had threads of gRPC's: this one has.
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        count = QUICK_BUNDLES if quick else BUNDLES
        return [*claims, *fresh.submit(_measure_bundles, models, folder / "broken", count).result()]


async def _measure_wire(server: Watched, cases: int) -> list[Claim]:
    names = [*MODELS, "gru@1"]
    first = int(_FIRST * cases)
    await _fill(server)
    before = await _pace(server)
    warm = await send_cases(server.address, range(first), SEED, names, _AT_ONCE)
    full = await server.left()
    began = time.monotonic()
    outcome = await send_cases(server.address, range(first, cases), SEED, names, _AT_ONCE)
    pace = (cases - first) / (time.monotonic() - began)
    left = await server.settled(full, 10.0)
    after = await _pace(server)
    together = Outcome(warm.codes + outcome.codes, warm.faults + outcome.faults)
    return [_answers(together, server, pace), _recovery(before, after), _nothing_left(full, left)]


async def _fill(server: Watched) -> None:
    """Let every row of the models with caches be used to its end: what they then hold, they keep."""
    for model, words in _LONGEST.items():
        await run_streams(server.address, request(model, "x " * words, _MOST_NEW), _ROWS)


async def _pace(server: Watched) -> Waits:
    """Return the waits of a good client, at best of three: others use the machine, too."""
    tries = [await ask(server.address, "markov", _PROBE_SECONDS) for _ in range(3)]
    return min(tries, key=lambda waits: waits.median)


def _answers(outcome: Outcome, server: Watched, pace: float) -> Claim:
    codes = ", ".join(f"{count} {name}" for name, count in outcome.codes.most_common())
    tracebacks = server.log.count("Traceback")
    return Claim(
        "Whatever is sent to any method, as fields, bytes or metadata, is answered with a status that says what is "
        "wrong: never UNKNOWN or INTERNAL, never with words of the program, never by silence",
        f"{outcome.codes.total():,} requests to {len(METHODS)} methods, {pace:.0f} a second: {codes}; "
        f"{len(outcome.faults)} answered improperly {outcome.faults[:1] or ''}; {tracebacks} tracebacks in the log",
        not outcome.faults and not tracebacks and server.alive,
    )


def _recovery(before: Waits, after: Waits) -> Claim:
    return Claim(
        "The server is then as fast as before",
        f"a call for one token: {before} before; {after} after",
        after.median <= MOST_SLOWER * before.median and not after.errors,
    )


def _nothing_left(before: Left, left: Left) -> Claim:
    held = left.running == left.waiting == 0 and left.tasks <= before.tasks
    grown = left.resident_bytes - before.resident_bytes
    return Claim(
        "Nothing of them is left",
        f"{left.over(before)}, from a fifth of the requests to the last",
        held and grown <= MOST_GROWTH_BYTES,
    )


def _measure_bundles(models: Path, place: Path, count: int) -> list[Claim]:
    return [
        _refused(
            "A bundle in which a file is damaged, missing, swapped, a link, a pipe or unknown is refused",
            bundles.accidents(models, place, SEED, count),
        ),
        _proper(
            "Whatever a manifest says, its bundle is served or refused with one line",
            bundles.manifests(models, place, SEED, count),
        ),
        _refused(
            "Graphs and tokenizers made to do harm, with a manifest to fit, are refused: operators of "
            "others, loops, enormous shapes, weights outside of the folder",
            bundles.crafted(models, place, SEED),
        ),
        _proper(
            "With --trial on, graphs, weights, tokenizers and templates changed by chance, with a manifest to fit, are "
            "served or refused with one line, also where ONNX Runtime crashes",
            bundles.stirred(models, place, SEED, count),
            trial=True,
        ),
        _said(models, place),
        _looking(models),
    ]


def _refused(promise: str, broken: Iterable[bundles.Broken]) -> Claim:
    """Claim that all are refused."""
    return _judge(promise, broken, served=False)


def _proper(promise: str, broken: Iterable[bundles.Broken], *, trial: bool = False) -> Claim:
    """Claim that all are refused, or served."""
    return _judge(promise, broken, served=True, trial=trial)


def _judge(promise: str, broken: Iterable[bundles.Broken], *, served: bool, trial: bool = False) -> Claim:
    codes: Counter[str] = Counter()
    faults: list[str] = []
    began = time.monotonic()
    for one in broken:
        found = attempt(one.models, trial=trial)
        codes["refused" if found.code == REFUSED else "served" if found.code == 0 else f"ended by {found.code}"] += 1
        if not found.proper or (found.code == 0 and not served):
            faults.append(f"{one.how}: {found.code}: {found.told[-300:]}")
    counts = ", ".join(f"{count} {name}" for name, count in codes.most_common())
    pace = f"{1e3 * (time.monotonic() - began) / codes.total():.0f} ms each"
    return Claim(promise, f"{counts}, {pace}; {len(faults)} otherwise {faults[:1] or ''}".rstrip(), not faults)


def _said(models: Path, place: Path) -> Claim:
    """Claim that the server itself, started with them, says one line and ends with 2."""
    wrong = []
    codes: Counter[int] = Counter()
    for one in bundles.accidents(models, place, SEED + 1, 12):
        command = [sys.executable, "-m", "service", "--models", str(one.models), "--port", "0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        codes[done.returncode] += 1
        if done.returncode != REFUSED or done.stderr.count("\n") != 1:
            wrong.append(f"{one.how}: {done.returncode}: {done.stderr[-300:]}")
    return Claim(
        "The server says why in one line, and ends with 2 before it listens",
        f"{codes.total()} starts, {len(wrong)} otherwise {wrong[:1] or ''}".rstrip(),
        not wrong,
    )


def _looking(models: Path) -> Claim:
    """Claim that looking at graphs before they are opened costs little of a start."""
    found: dict[str, float] = {}
    for name in MODELS:
        path = open_bundle(models / name / "1").path
        data = path / (STEP_GRAPH + DATA)
        began = time.perf_counter()
        check_graph(path / STEP_GRAPH, data.stat().st_size if data.exists() else 0)
        found[name] = time.perf_counter() - began
    slowest = max(found, key=lambda name: found[name])
    return Claim(
        "What a graph holds is looked up before ONNX Runtime opens it, in less than 200 ms",
        f"{1e3 * found[slowest]:.1f} ms for the step of {slowest}",
        found[slowest] < 0.2,
    )
