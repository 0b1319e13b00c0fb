"""What streams hold in memory: waiting and running, by kind of state, and whether anything grows over many requests."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import grpc

from benchmarks.load import request, run_stream
from benchmarks.server import ServerProcess, serving
from protos.seqstream.v1 import model_pb2
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub
from protos.seqstream.v1.model_pb2_grpc import ModelServiceStub

STREAMS = 128


def per_stream(models: Path, name: str, tokens: int, prompt: str = "") -> dict[str, float]:
    """Resident bytes that a running and a waiting stream add to the server of the model `name`."""
    flags = ("--rows", str(STREAMS), "--queue-limit", str(4 * STREAMS), "--connection-calls", str(8 * STREAMS))
    with serving(models, *flags) as server:
        return asyncio.run(_per_stream(server, name, tokens, prompt))


async def _per_stream(server: ServerProcess, name: str, tokens: int, prompt: str) -> dict[str, float]:
    message = request(name, prompt, tokens)
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub, models = GenerationServiceStub(channel), ModelServiceStub(channel)
        await asyncio.gather(*(run_stream(stub, request(name, prompt, 1)) for _ in range(8)))
        state = (await models.GetModel(model_pb2.GetModelRequest(model=name))).model.load.state_bytes_per_row
        empty = server.resident_bytes
        await asyncio.gather(*(run_stream(stub, message) for _ in range(STREAMS)))
        # Rows keep their pages when their streams end: what stays is what running streams needed.
        ran = server.resident_bytes
        endless = request(name, prompt, 4096)
        calls = [asyncio.create_task(run_stream(stub, endless)) for _ in range(STREAMS)]
        await asyncio.sleep(0.5)
        full = server.resident_bytes
        calls += [asyncio.create_task(run_stream(stub, endless)) for _ in range(2 * STREAMS)]
        await asyncio.sleep(0.5)
        waiting = server.resident_bytes
        for call in calls:
            call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*calls)
    return {
        "state_bytes_declared": state,
        "resident_bytes_running_stream": (ran - empty) / STREAMS,
        "resident_bytes_waiting_stream": (waiting - full) / (2 * STREAMS),
    }


def growth(models: Path, name: str, requests: int = 10_000, at_once: int = 32) -> dict[str, float]:
    """Resident bytes of the server after the first tenth of many short requests, and after all."""
    with serving(models, "--rows", str(at_once)) as server:
        sizes = asyncio.run(_run_many(server, name, requests, at_once))
    return {"requests": requests, "resident_bytes_after_tenth": sizes[0], "resident_bytes_after_all": sizes[-1]}


async def _run_many(server: ServerProcess, name: str, requests: int, at_once: int) -> list[int]:
    sizes = []
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = GenerationServiceStub(channel)

        async def client(count: int) -> None:
            for _ in range(count):
                await run_stream(stub, request(name, "import os", 8))

        for _ in range(10):
            await asyncio.gather(*(client(requests // (10 * at_once) + 1) for _ in range(at_once)))
            sizes.append(server.resident_bytes)
    return sizes
