"""python -m benchmarks.agreement: how far `seqstream bench` and the closed loop of benchmarks/closed_loop.py are apart.

Both keep as many streams of the same lengths running on one server, in turns; they share nothing but the wire. Figures
are medians of the turns.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from functools import partial
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks import closed_loop
from benchmarks.models import prepare
from benchmarks.server import serving
from service.bench.driver import Part, drive
from service.bench.lengths import Lengths
from service.bench.level import Level
from service.bench.summary import Summary, summary
from service.bench.workload import Given, Request
from service.client import Client
from service.retry import Retry
from service.wire.options import Options

_MODEL = "gru"
_LENGTHS = f"uniform:{closed_loop.SHORTEST}:{closed_loop.LONGEST}"
_WARM_UP, SECONDS = 0.5, 4.0

# A figure, in both: tokens a second, and times in milliseconds.
Figures = dict[str, float]


def compare(
    models: Path, streams: int, rounds: int, seconds: float = SECONDS, flags: tuple[str, ...] = ()
) -> dict[str, tuple[float, float]]:
    """Return what `bench` and the closed loop find, by figure: medians of `rounds` turns of so many seconds each."""
    ours: list[Figures] = []
    theirs: list[Figures] = []
    with serving(models, "--rows", str(streams), *flags) as server, asyncio.Runner() as runner:
        for seed in range(rounds):
            ours.append(runner.run(_bench(server.address, streams, seconds, seed)))
            load = closed_loop.Load(_MODEL, streams, _WARM_UP, seconds)
            seen = runner.run(closed_loop.run(server.address, [server.address], load, seed))
            theirs.append(
                {
                    "tokens/s": seen.tokens_per_second,
                    "messages/s": seen.messages_per_second,
                    "first token, p50": 1e3 * seen.first_token,
                    "first token, p99": 1e3 * seen.first_token_99,
                    "between messages, p50": 1e3 * seen.gap,
                    "between messages, p99": 1e3 * seen.gap_99,
                    "messages per CPU second": seen.messages_per_second / seen.client_cpu,
                }
            )
    return {name: (_middle(ours, name), _middle(theirs, name)) for name in theirs[0]}


def _middle(turns: list[Figures], name: str) -> float:
    return median(turn[name] for turn in turns)


async def _bench(address: str, streams: int, seconds: float, seed: int) -> Figures:
    workload = Given((Request("", Options(temperature=0.0, seed=1)),), Lengths.parse(_LENGTHS), seed)
    part = Part(partial(Client, address, Retry(attempts=1)), 1, _MODEL, workload)
    level = Level("streams", float(streams), _WARM_UP, seconds, None, 60.0, seed)
    found: Summary = summary(level, [await drive(part, level, time.monotonic() + 0.5 + _WARM_UP)], None)
    assert not found.errors, "an idle server refuses nothing"
    messages = found.tokens_per_second / found.tokens_per_message
    return {
        "tokens/s": found.tokens_per_second,
        "messages/s": messages,
        "first token, p50": 1e3 * found.first_token["p50"],
        "first token, p99": 1e3 * found.first_token["p99"],
        "between messages, p50": 1e3 * found.between_messages["p50"],
        "between messages, p99": 1e3 * found.between_messages["p99"],
        "messages per CPU second": messages / found.client_cpu,
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agreement", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"), help="for the models [%(default)s]")
    parser.add_argument("--streams", type=int, default=16, metavar="N", help="at all times [%(default)s]")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of each [%(default)s]")
    options = parser.parse_args()
    models = prepare(options.folder, (_MODEL,))
    table = Table("", "seqstream bench", "closed_loop", "ratio")
    for name, (ours, theirs) in compare(models, options.streams, options.rounds).items():
        table.add_row(name, f"{ours:,.2f}", f"{theirs:,.2f}", f"{ours / theirs:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
