"""A million hostile requests to one server of tiny models: what fewer do not show, and whether it grows."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reliability.cases import METHODS
from benchmarks.reliability.claim import Claim
from benchmarks.reliability.models import Kind, tiny
from benchmarks.reliability.watched import Left, Watched, watching
from benchmarks.reliability.wire import Outcome, send_cases

TITLE = "A million requests"

SEED = 2
CASES, QUICK_CASES = 1_000_000, 2_000
LABELS = ("gru", "transformer-lm", "transformer", "markov")
# Promised: how much the server may grow from the first tenth to the last.
MOST_GROWTH_BYTES = 32 << 20
_TENTHS = 10
_AT_ONCE = 64
_FLAGS = ("--max-new-tokens-limit", "40", "--threads", "1")


@dataclass(frozen=True, slots=True)
class Tenth:
    """What became of a tenth of the cases, and what the server held behind it."""

    outcome: Outcome
    seconds: float
    left: Left


def measure(folder: Path, quick: bool) -> list[Claim]:
    """Send all requests to one server, a tenth after the other."""
    models = tiny(Kind("fp32"), LABELS, folder)
    with watching(models, folder, *_FLAGS) as server:
        tenths = asyncio.run(_send(server, QUICK_CASES if quick else CASES))
        return [_answers(tenths, server), _growth(tenths)]


async def _send(server: Watched, cases: int) -> list[Tenth]:
    before, tenths = await server.left(), list[Tenth]()
    for place in range(_TENTHS):
        numbers = range(place * cases // _TENTHS, (place + 1) * cases // _TENTHS)
        began = time.monotonic()
        outcome = await send_cases(server.address, numbers, SEED, [*LABELS, "gru@1"], _AT_ONCE)
        tenths.append(Tenth(outcome, time.monotonic() - began, await server.settled(before, 15.0)))
        print(f"  {numbers.stop:,} in {tenths[-1].seconds:.0f} s more: {tenths[-1].left.over(before)}", flush=True)
    return tenths


def _answers(tenths: list[Tenth], server: Watched) -> Claim:
    codes = sum((tenth.outcome.codes for tenth in tenths), start=type(tenths[0].outcome.codes)())
    faults = [fault for tenth in tenths for fault in tenth.outcome.faults]
    tracebacks = server.log.count("Traceback")
    told = ", ".join(f"{count:,} {name}" for name, count in codes.most_common())
    return Claim(
        "Each is answered with a status that says what is wrong: never UNKNOWN or INTERNAL, never with words of the "
        "program, never by silence",
        f"{codes.total():,} requests to {len(METHODS)} methods, seed {SEED}, {_AT_ONCE} at a time, "
        f"in {sum(tenth.seconds for tenth in tenths):,.0f} s: {told}; {len(faults)} answered improperly "
        f"{faults[:1] or ''}; {tracebacks} tracebacks in the log; the server is {'up' if server.alive else 'down'}",
        not faults and not tracebacks and server.alive,
    )


def _growth(tenths: list[Tenth]) -> Claim:
    first, last = tenths[0].left, tenths[-1].left
    sizes = ", ".join(f"{tenth.left.resident_bytes / 2**20:.0f}" for tenth in tenths)
    grown = last.resident_bytes - first.resident_bytes
    held = last.running == last.waiting == 0 and last.tasks <= first.tasks and last.files <= first.files
    return Claim(
        "Nothing of them is left",
        f"from the first tenth to the last: {last.over(first)}; MiB resident behind each tenth: {sizes}",
        held and grown <= MOST_GROWTH_BYTES,
    )
