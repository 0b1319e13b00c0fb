"""What breaks inside: a step that raises, no memory left, a clock that jumps, work that is killed, a full disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks.models import prepare
from benchmarks.reliability import breaking, unfinished
from benchmarks.reliability.claim import Claim
from benchmarks.reliability.models import Kind, tiny

TITLE = "Faults inside"


def measure(folder: Path, quick: bool) -> list[Claim]:
    """Break servers, and work on files; see who notices, and what is left."""
    models = tiny(Kind("fp32"), ("gru",), folder)
    claims = [asyncio.run(breaking.step(models, folder)), asyncio.run(breaking.clock(models, folder))]
    if not quick:
        claims.append(asyncio.run(breaking.memory(prepare(folder, ("transformer-lm",)), folder)))
    return [*claims, *unfinished.measure(folder / "work", 2 if quick else 8)]
