"""What serving costs: served tokens/s against the bare loop of the same graph, and what one message costs.

Served and bare alternate in one run on the same machine with the same number of threads; figures are medians and the
ratio is that of neighbouring runs.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.bare import tokens_per_second
from benchmarks.load import LoadRecord, request, run_streams
from benchmarks.server import ServerProcess, serving
from bundle.folder import open_bundle
from bundle.runner import Runner

TOKENS, ROUNDS = 384, 5


@dataclass(frozen=True, slots=True)
class Extent:
    """tokens: of a stream.    rounds: pairs of runs.    prompt: of every stream; some models need one."""

    tokens: int = TOKENS
    rounds: int = ROUNDS
    prompt: str = ""


def measure(
    models: Path,
    name: str,
    streams: int,
    threads: int,
    extent: Extent = Extent(),
) -> dict[str, float]:
    """Compare `streams` streams of the model `name` with the bare loop of a batch of as many."""
    runner = Runner(open_bundle(models / name / "1"), threads=threads)
    flags = ("--rows", str(max(streams, 32)), "--threads", str(threads))
    bare, served, costs, records = [], [], [], []
    with serving(models, *flags) as server:
        _serve(server, name, streams, min(64, extent.tokens), prompt=extent.prompt)
        for _ in range(extent.rounds):
            bare.append(tokens_per_second(runner, streams, extent.tokens))
            before = server.cpu_seconds
            record = _serve(server, name, streams, extent.tokens, prompt=extent.prompt)
            costs.append((server.cpu_seconds - before) / record.tokens)
            served.append(record.tokens_per_second)
            records.append(record)
    return {
        "bare_tokens_per_second": median(bare),
        "served_tokens_per_second": median(served),
        "served_over_bare": median(s / b for s, b in zip(served, bare, strict=True)),
        "tokens_per_message": median(record.tokens / record.messages for record in records),
        "server_cpu_microseconds_per_token": 1e6 * median(costs),
    }


def message_cost(models: Path, name: str, streams: int) -> dict[str, float]:
    """Server CPU time of one message: the same tokens sent one by one and together, in one run."""
    costs: dict[int, list[float]] = {1: [], 64: []}
    sent: dict[int, float] = {}
    with serving(models, "--threads", "1") as server:
        _serve(server, name, streams, 64)
        for _ in range(ROUNDS):
            for limit, figures in costs.items():
                before = server.cpu_seconds
                record = _serve(server, name, streams, TOKENS, limit)
                figures.append(1e6 * (server.cpu_seconds - before) / record.tokens)
                sent[limit] = record.tokens / record.messages
    return {
        "server_cpu_microseconds_per_token_alone": median(costs[1]),
        "server_cpu_microseconds_per_token_coalesced": median(costs[64]),
        "tokens_per_message_coalesced": sent[64],
    }


def _serve(
    server: ServerProcess, name: str, streams: int, tokens: int, together: int = 64, prompt: str = ""
) -> LoadRecord:
    message = request(name, prompt, tokens)
    message.output.max_tokens_per_message = together
    return asyncio.run(run_streams(server.address, message, streams))
