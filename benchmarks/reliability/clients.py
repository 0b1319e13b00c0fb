"""Clients that do not read, that vanish, and that flood a server with frames: what becomes of it and of the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import grpc
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status

from benchmarks.models import prepare
from benchmarks.reliability.claim import Claim
from benchmarks.reliability.floods import FLOODS, Flood
from benchmarks.reliability.good import Waits, ask
from benchmarks.reliability.vanishing import vanish
from benchmarks.reliability.watched import Watched, watching
from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub
from service.wire.limits import Bounds

TITLE = "Slow and vanishing clients"

FAST, MODELS = "markov", ("markov", "gru")
SLOW, QUICK_SLOW = 32, 4
VANISHING, QUICK_VANISHING = 1_000, 50
FLOOD_SECONDS, QUICK_FLOOD_SECONDS = 10.0, 1.5
# Promised: what a client that does not read, a thousand that vanish, and a flood may take, and how long others wait.
MOST_SLOW_BYTES, MOST_GROWTH_BYTES = 2 << 20, 32 << 20
MOST_WAIT_SECONDS = 2.0
# By default; before it, gRPC's own buffers have to be full, which is a matter of what streams bring a second.
MOST_FREED_SECONDS = Bounds().seconds
_TOKENS = 100_000
FLAGS = ("--threads", "1", "--rows", "32", "--max-new-tokens-limit", str(_TOKENS))


def measure(folder: Path, quick: bool) -> list[Claim]:
    """Let clients misbehave, one kind after the other, and return what held."""
    vanishing = QUICK_VANISHING if quick else VANISHING
    return asyncio.run(_measure(prepare(folder, MODELS), folder, quick, vanishing))


async def _measure(models: Path, folder: Path, quick: bool, vanishing: int) -> list[Claim]:
    with watching(models, folder, *FLAGS) as server:
        claims = [await _slow(server, QUICK_SLOW if quick else SLOW), await gone(server, vanishing)]
        seconds = QUICK_FLOOD_SECONDS if quick else FLOOD_SECONDS
        claims += [await _flooded(server, flood, seconds) for flood in FLOODS]
        tracebacks = server.log.count("Traceback")
    return [*claims, Claim("None of it leaves a traceback in the log", f"{tracebacks} tracebacks", not tracebacks)]


async def _slow(server: Watched, clients: int) -> Claim:
    """Let clients ask for long streams, and read no more than the first message."""
    await _read_well(server, clients)
    before = await server.left()
    # Windows do not grow, so that what gRPC itself holds for a client is the least.
    options = (("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.insecure_channel(server.address, options=options) as channel:
        stub = GenerationServiceStub(channel)
        streams = [aiter(stub.Generate(_long())) for _ in range(clients)]
        await asyncio.gather(*(anext(stream) for stream in streams))
        began = time.monotonic()
        most = before.resident_bytes
        while (left := await server.left()).running and time.monotonic() - began < 60:
            most = max(most, left.resident_bytes)
        freed = time.monotonic() - began
        reasons = await asyncio.gather(*(_reason(stream) for stream in streams))
    after = await server.settled(before, 10.0)
    each = (most - before.resident_bytes) / clients
    ended = sum(reason == "RESOURCE_EXHAUSTED SLOW_CONSUMER" for reason in reasons)
    return Claim(
        "A client that stops reading is ended with RESOURCE_EXHAUSTED and SLOW_CONSUMER, and its row freed within "
        f"{MOST_FREED_SECONDS:g} s; until then it holds one bounded buffer",
        f"{clients} clients asked for {_TOKENS:,} tokens with 20 alternatives and read one message: all rows free "
        f"after {freed:.1f} s, {each / 2**20:.2f} MiB a client at most; {ended} of {clients} told so when they read "
        f"on; {after.over(before)}",
        ended == clients and freed <= MOST_FREED_SECONDS and each <= MOST_SLOW_BYTES and after.running == 0,
    )


async def _read_well(server: Watched, clients: int) -> None:
    """Let as many clients read what they ask for: what rows and messages take once is taken then."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = GenerationServiceStub(channel)
        await asyncio.gather(*(_reason(aiter(stub.Generate(_long(300)))) for _ in range(clients)))


def _long(tokens: int = _TOKENS) -> pb.GenerateRequest:
    return pb.GenerateRequest(
        model="gru",
        text="abc",
        stop=pb.StopConditions(max_new_tokens=tokens, ignore_end_of_sequence=True),
        output=pb.OutputOptions(logprobs=True, top_logprobs=20),
    )


async def _reason(stream: AsyncIterator[pb.GenerateResponse]) -> str:
    """Read the stream to its end; return its status and the reason that is given."""
    try:
        async for _ in stream:
            pass
    except grpc.aio.AioRpcError as error:
        metadata = cast("tuple[tuple[str, str | bytes], ...]", tuple(error.trailing_metadata() or ()))
        packed = dict(metadata).get("grpc-status-details-bin", b"")
        info = details.ErrorInfo()
        for detail in Status.FromString(packed).details if isinstance(packed, bytes) else ():
            detail.Unpack(info)
        return f"{error.code().name} {info.reason}"
    return "OK"


async def gone(server: Watched, clients: int) -> Claim:
    """Let so many clients connect and vanish."""
    await asyncio.to_thread(vanish, server.address, "gru", min(clients, 100), 0)  # what is kept for all later ones
    before = await server.settled(await server.left(), 5.0)
    began = time.monotonic()
    waits, ways = await asyncio.gather(
        ask(server.address, FAST, 2.0), asyncio.to_thread(vanish, server.address, "gru", clients, 1)
    )
    seconds = time.monotonic() - began
    left = await server.settled(before, 15.0)
    grown = left.resident_bytes - before.resident_bytes
    held = left.running == left.waiting == 0 and left.tasks <= before.tasks and left.files <= before.files
    told = ", ".join(f"{count} {way}" for way, count in ways.items())
    return Claim(
        "Clients that connect and vanish leave no row, task, file or memory",
        f"{clients:,} in {seconds:.0f} s ({told}); left: {left.over(before)}; a good client meanwhile: {waits}",
        held and grown <= MOST_GROWTH_BYTES and not waits.errors,
    )


async def _flooded(server: Watched, flood: Flood, seconds: float) -> Claim:
    before = await server.left()
    told, waits = await asyncio.gather(
        asyncio.to_thread(flood.run, server.address, FAST, seconds), ask(server.address, FAST, seconds)
    )
    held = await server.left()
    after = await server.settled(before, 15.0)
    grown = max(held.resident_bytes, after.resident_bytes) - before.resident_bytes
    return Claim(
        f"A flood of {flood.title} does not keep others out, and takes no more than {MOST_GROWTH_BYTES >> 20} MiB",
        f"{told} in {seconds:g} s; a good client meanwhile: {waits}; then {after.over(before)}",
        server.alive and _served(waits) and grown <= MOST_GROWTH_BYTES and after.running == after.waiting == 0,
    )


def _served(waits: Waits) -> bool:
    return bool(waits.seconds) and not waits.errors and waits.longest <= MOST_WAIT_SECONDS
