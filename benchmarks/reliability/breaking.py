"""Servers in which something breaks, by a program that breaks it or by a limit that is set from outside."""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import grpc
import psutil
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.load import request
from benchmarks.reliability.claim import Claim
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub

_STREAMS, _TOKENS = 8, 2000
_PATIENCE = 120.0
_SERVICE = ("-m", "service")
_LIMIT = ("--max-new-tokens-limit", str(_TOKENS))
# The step after so many raises.
_RAISES = """
import sys
from bundle.runner import Runner
from service.__main__ import main
step, steps = Runner.step, []
def breaking(*arguments):
    steps.append(None)
    if len(steps) > 300:
        raise RuntimeError("broken on purpose")
    return step(*arguments)
Runner.step = breaking
sys.exit(main())
"""
# From the step after so many on, the time of day goes a day on or back whenever it is looked at.
_JUMPS = """
import itertools, sys, time
from bundle.runner import Runner
from service.__main__ import main
step, steps = Runner.step, []
real, way = time.time, itertools.cycle((86400, -86400))
def jumping(*arguments):
    steps.append(None)
    if len(steps) == 50:
        time.time = lambda: real() + next(way)
    return step(*arguments)
Runner.step = jumping
sys.exit(main())
"""
# So that a step takes more memory than a server has beside.
_LARGE_STEPS = ("--chunk-tokens", "8192")


@dataclass(frozen=True, slots=True)
class Broken:
    """A server process, where it listens, and the file of its log."""

    process: subprocess.Popen[str]
    address: str
    log: Path

    async def ended(self) -> int:
        """Return the exit code, once it has one. Raises TimeoutError."""
        async with asyncio.timeout(_PATIENCE):
            while (code := self.process.poll()) is None:  # noqa: ASYNC110 (another process tells nobody)
                await asyncio.sleep(0.02)
        return code


@dataclass(slots=True)
class Reader:
    """What a reader of one stream got: tokens, and the status at the end with the id in it."""

    tokens: list[int]
    code: grpc.StatusCode = grpc.StatusCode.OK
    request_id: str = ""


async def step(models: Path, folder: Path) -> Claim:
    """Let a step raise while streams run."""
    with _server(models, folder, "-c", _RAISES) as server:
        async with _channel(server) as channel:
            health = asyncio.create_task(_watch(channel))
            readers = await asyncio.gather(*(_read(channel, "gru") for _ in range(_STREAMS)))
            code = await server.ended()
            serving = await health
        log = server.log.read_text()
    with _server(models, folder, *_SERVICE) as again:
        async with _channel(again) as channel:
            whole = await _read(channel, "gru")
    internal = sum(reader.code is grpc.StatusCode.INTERNAL for reader in readers)
    logged = sum(reader.request_id in log for reader in readers if reader.request_id)
    right = sum(reader.tokens == whole.tokens[: len(reader.tokens)] for reader in readers)
    told = "NOT_SERVING" if serving and serving[-1] == health_pb2.HealthCheckResponse.NOT_SERVING else str(serving)
    return Claim(
        "A step that raises: every stream that runs ends with INTERNAL and an id that the log has, health says "
        "NOT_SERVING, the server ends with an exit code that is not 0, and serves again when it is started again.",
        f"{_STREAMS} streams: {internal} INTERNAL, {logged} ids in the log, {right} with right tokens until then; "
        f"health {told}; exit code {code}; started again, {len(whole.tokens):,} tokens",
        internal == logged == right == _STREAMS
        and told == "NOT_SERVING"
        and code == 1
        and len(whole.tokens) == _TOKENS,
    )


async def clock(models: Path, folder: Path) -> Claim:
    """Let the time of day jump at every look."""
    with _server(models, folder, *_SERVICE) as server:
        async with _channel(server) as channel:
            expected = await _read(channel, "gru")
    with _server(models, folder, "-c", _JUMPS) as server:
        async with _channel(server) as channel:
            readers = await asyncio.gather(*(_read(channel, "gru", 60.0) for _ in range(_STREAMS)))
    right = sum(reader.tokens == expected.tokens and reader.code is grpc.StatusCode.OK for reader in readers)
    return Claim(
        "A clock that jumps ends no stream, also not one with a deadline.",
        f"once streams run, the time of day jumps by a day whenever it is looked at: {right} of {_STREAMS} whole",
        right == _STREAMS,
    )


async def memory(models: Path, folder: Path) -> Claim:
    """Take the address space that is left while long prompts come."""
    with _server(models, folder, *_SERVICE, flags=_LARGE_STEPS) as server:
        async with _channel(server) as channel:
            await _read(channel, "transformer-lm", prompt=2, tokens=8)
            size = psutil.Process(server.process.pid).memory_info().vms
            resource.prlimit(server.process.pid, resource.RLIMIT_AS, (size + (4 << 20), resource.RLIM_INFINITY))
            reading = (_read(channel, "transformer-lm", prompt=1000, tokens=8) for _ in range(_STREAMS))
            readers = await asyncio.wait_for(asyncio.gather(*reading), _PATIENCE)
            whole = sum(reader.code is grpc.StatusCode.OK for reader in readers)
            code = None if whole == _STREAMS else await server.ended()
    statuses = ", ".join(sorted({reader.code.name for reader in readers}))
    return Claim(
        "Memory that runs out ends the server with an exit code that is not 0, and every call with a status.",
        f"4 MB left to {_STREAMS} prompts of 1,000 tokens: {statuses}; exit code {code}",
        code not in (None, 0),
    )


@contextlib.contextmanager
def _server(models: Path, folder: Path, *program: str, flags: Sequence[str] = ()) -> Iterator[Broken]:
    """Start a server, and end it with the block."""
    log = folder / "server.log"
    command = [sys.executable, *program, "--models", str(models), "--port", "0", "--threads", "1", *_LIMIT, *flags]
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        yield Broken(process, _address(process), log)
    finally:
        process.kill()
        process.communicate()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.fullmatch(r"listening on (\S+)\n", line):
            return found[1]
    raise RuntimeError(f"the server did not start, exit code {process.wait()}")


@contextlib.asynccontextmanager
async def _channel(server: Broken) -> AsyncIterator[grpc.aio.Channel]:
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(server.address, options=options) as channel:
        yield channel


async def _watch(channel: grpc.aio.Channel) -> list[int]:
    """Return every state of health that is told until the server is gone."""
    states = []
    with contextlib.suppress(grpc.aio.AioRpcError):
        async for answer in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()):
            states.append(answer.status)  # noqa: PERF401 (what came before the error counts)
    return states


async def _read(
    channel: grpc.aio.Channel, model: str, seconds: float | None = None, prompt: int = 1, tokens: int = _TOKENS
) -> Reader:
    reader = Reader([])
    asked = request(model, "", tokens)
    asked.token_ids.ids.extend([7] * prompt)
    try:
        async for event in GenerationServiceStub(channel).Generate(asked, timeout=seconds):
            reader.tokens += event.delta.token_ids
    except grpc.aio.AioRpcError as error:
        reader.code, reader.request_id = error.code(), _request_id(error)
    return reader


def _request_id(error: grpc.aio.AioRpcError) -> str:
    metadata = dict(cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ()))
    packed, info = metadata.get("grpc-status-details-bin", b""), details.RequestInfo()
    found: Sequence[bool] = []
    if isinstance(packed, bytes):
        found = [detail.Unpack(info) for detail in Status.FromString(packed).details]
    return info.request_id if any(found) else ""
