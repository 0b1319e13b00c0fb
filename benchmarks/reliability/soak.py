"""Ten thousand clients that vanish: ten times as many as the other part lets vanish, of one server."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks.models import prepare
from benchmarks.reliability.claim import Claim
from benchmarks.reliability.clients import FLAGS, MODELS, gone
from benchmarks.reliability.watched import watching

TITLE = "Ten thousand clients that vanish"

VANISHING, QUICK_VANISHING = 10_000, 200


def measure(folder: Path, quick: bool) -> list[Claim]:
    """Let them all connect and vanish."""
    with watching(prepare(folder, MODELS), folder, *FLAGS) as server:
        return [asyncio.run(gone(server, QUICK_VANISHING if quick else VANISHING))]
