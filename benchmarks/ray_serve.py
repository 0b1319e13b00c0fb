"""python -m benchmarks.ray_serve: what Ray Serve costs, next to Envoy, on the same work.

The same GRU on two servers of one thread each: dialled directly, behind Envoy, and as two replicas of Ray Serve, behind
its own proxy and behind HAProxy, which it can start instead. Prints a table for docs. Needs two environments, this one
and Ray's (--ray), and namespaces, for Ray listens on every interface.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median

import grpc
import psutil

from benchmarks.alone import NamespaceError, run_alone
from benchmarks.arrangements import ARRANGEMENTS, MODEL, Arrangement
from benchmarks.load import LoadRecord, request, run_stream
from benchmarks.models import prepare
from benchmarks.ray_cluster import ROOT
from protos.seqstream.v1 import generation_pb2 as wire
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub
from service.client import Client
from service.retry import Retry

PROMPT = "def __init__(self"
# For those that name two servers.
_OPTIONS = (("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),)
STREAMS, TOKENS, CALLS, ROUNDS, KILL_AFTER = 32, 384, 50, 3, 200

HEAD = f"""\
| two servers | tokens/s, one stream | tokens/s, {STREAMS} streams | first token, ms | a token alone, ms (added) \
| without tokens after kill -9, s | memory, MB (RSS; PSS) |
|---|---|---|---|---|---|---|"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Tokens a second; milliseconds to a first token and between single tokens; seconds without; megabytes."""

    one_stream: float
    all_streams: float
    first_token: float
    gap: float
    recovery: float
    resident: float
    proportional: float


def measure(arrangement: Arrangement) -> Figures:
    """Run all of the work on one arrangement; it has lost a server at the end."""
    address = arrangement.address
    asyncio.run(_run(address, request(MODEL, PROMPT, 64), STREAMS))  # warm
    alone = request(MODEL, PROMPT, TOKENS)
    alone.output.max_tokens_per_message = 1
    record = asyncio.run(_run(address, alone, 1)).streams[0]
    gaps = [1e3 * (after[0] - before[0]) for before, after in zip(record.arrivals, record.arrivals[1:], strict=False)]
    work = request(MODEL, PROMPT, TOKENS)
    one = [asyncio.run(_run(address, work, 1)).tokens_per_second for _ in range(ROUNDS)]
    many = [asyncio.run(_run(address, work, STREAMS)).tokens_per_second for _ in range(ROUNDS)]
    first = asyncio.run(_first_tokens(address))
    memory = [process.memory_full_info() for process in arrangement.processes()]
    return Figures(
        one_stream=median(one),
        all_streams=median(many),
        first_token=first,
        gap=fmean(gaps),
        recovery=asyncio.run(_recovery(arrangement)),
        resident=sum(each.rss for each in memory) / 1e6,
        proportional=sum(each.pss for each in memory) / 1e6,
    )


async def _run(address: str, message: wire.GenerateRequest, streams: int) -> LoadRecord:
    """Run equal streams at once over one connection to each server."""
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        stub = GenerationServiceStub(channel)
        return LoadRecord(list(await asyncio.gather(*(run_stream(stub, message) for _ in range(streams)))))


async def _first_tokens(address: str) -> float:
    """Return the median of milliseconds from call to token, one call after another."""
    message = request(MODEL, PROMPT, 1)
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        stub = GenerationServiceStub(channel)
        records = [await run_stream(stub, message) for _ in range(CALLS)]
    return 1e3 * median(record.first - record.sent for record in records)


async def _recovery(arrangement: Arrangement) -> float:
    """Kill the server that runs a stream; return the longest time in which the client then got no token."""
    options = {"max_new_tokens": 4000, "ignore_end_of_sequence": True, "max_tokens_per_message": 1, "seed": 1}
    before: dict[psutil.Process, float] = {}
    tokens, longest, last = 0, 0.0, None
    async with Client(arrangement.address, Retry(attempts=60)) as client:
        async for delta in client.generate(MODEL, PROMPT, **options):  # type: ignore[arg-type]
            now = time.perf_counter()
            if last is not None:
                longest, last = max(longest, now - last), now
            tokens += len(delta.token_ids)
            if not before:
                before = {server: _cpu_seconds(server) for server in arrangement.servers()}
            if last is None and tokens >= KILL_AFTER:
                busiest = max(before, key=lambda server: _cpu_seconds(server) - before[server])
                os.kill(busiest.pid, signal.SIGKILL)
                last = time.perf_counter()
    return longest


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def row(name: str, figures: Figures, first: Figures) -> str:
    """Return a row of the table; `first` is what others are compared with."""
    added = "" if figures is first else f" ({figures.gap - first.gap:+.2f})"
    return (
        f"| {name} | {figures.one_stream:,.0f} | {figures.all_streams:,.0f} | {figures.first_token:.1f} "
        f"| {figures.gap:.2f}{added} | {figures.recovery:.2f} | {figures.resident:,.0f}; {figures.proportional:,.0f} |"
    )


def main() -> int:
    """Measure the arrangements named on the command line, or all. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ray_serve", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(ARRANGEMENTS)} [all]")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"), help="for the models [%(default)s]")
    parser.add_argument("--ray", type=Path, default=ROOT / ".venv-ray", help="environment of Ray [%(default)s]")
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)  # given to itself, inside of the namespaces
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in ARRANGEMENTS]:
        parser.error(f"no arrangement {unknown[0]!r}; there are {', '.join(ARRANGEMENTS)}")
    models = prepare(options.folder).resolve()
    if options.into is not None:
        with ARRANGEMENTS[options.names[0]](models, options.ray / "bin") as arrangement:
            options.into.write_text(json.dumps(asdict(measure(arrangement))), encoding="utf-8")
        return 0
    try:
        print(HEAD)
        first: Figures | None = None
        for name in options.names or ARRANGEMENTS:
            figures = _alone(name, options)
            first = first or figures
            print(row(name, figures, first), flush=True)
    except (NamespaceError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _alone(name: str, options: argparse.Namespace) -> Figures:
    with tempfile.NamedTemporaryFile() as file:
        again = ["-m", "benchmarks.ray_serve", name, "--folder", options.folder, "--ray", options.ray.absolute()]
        if run_alone([sys.executable, *map(str, again), "--into", file.name]):
            raise RuntimeError(f"{name} could not be measured")
        return Figures(**json.loads(file.read()))


if __name__ == "__main__":
    sys.exit(main())
