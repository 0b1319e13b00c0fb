"""What continuous batching gives: many streams against one, and how long a newcomer waits while others decode."""

from __future__ import annotations

import asyncio
import bisect
from pathlib import Path
from statistics import median

import grpc

from benchmarks.load import StreamRecord, request, run_stream, run_streams
from benchmarks.server import serving
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub

TOKENS, ROUNDS, STREAMS = 128, 5, 32


def gain(models: Path, name: str) -> dict[str, float]:
    """Tokens/s of 32 streams against one, alternating on one server."""
    one: list[float] = []
    many: list[float] = []
    with serving(models, "--rows", str(STREAMS)) as server:
        for _ in range(ROUNDS):
            for streams, figures in ((1, one), (STREAMS, many)):
                record = asyncio.run(run_streams(server.address, request(name, "", TOKENS), streams))
                figures.append(record.tokens_per_second)
    return {
        "tokens_per_second_1_stream": median(one),
        "tokens_per_second_32_streams": median(many),
        "gain": median(m / o for m, o in zip(many, one, strict=True)),
    }


def newcomer(models: Path, name: str) -> dict[str, float]:
    """Steps that 31 decoding streams make between a newcomer's request and its first token."""
    with serving(models, "--rows", str(STREAMS)) as server:
        found = [asyncio.run(_one_newcomer(server.address, name)) for _ in range(4 * ROUNDS)]
    steps, seconds = zip(*found, strict=True)
    return {
        "steps_to_first_token_median": median(steps),
        "steps_to_first_token_largest": max(steps),
        "milliseconds_to_first_token_median": 1e3 * median(seconds),
    }


async def _one_newcomer(address: str, name: str) -> tuple[int, float]:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = GenerationServiceStub(channel)
        others = [asyncio.create_task(run_stream(stub, request(name, "", 96))) for _ in range(STREAMS - 1)]
        await asyncio.sleep(0.15)
        newcomer = await run_stream(stub, request(name, "def main", 2))
        records = await asyncio.gather(*others)
    running = [_tokens_between(record, newcomer.sent, newcomer.first) for record in records]
    return max(running), newcomer.first - newcomer.sent


def _tokens_between(record: StreamRecord, begin: float, end: float) -> int:
    times = [when for when, count in record.arrivals for _ in range(count)]
    return bisect.bisect_right(times, end) - bisect.bisect_right(times, begin)
