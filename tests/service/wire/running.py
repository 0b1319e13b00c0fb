"""Starting servers, in this process and in others."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub
from protos.seqstream.v1.model_pb2_grpc import ModelServiceStub
from service.engine import EngineSettings
from service.identity import Role
from service.loading import Loader, load_models
from service.models import Models
from service.versions import Versions
from service.wire.access import Access
from service.wire.calls import Calls
from service.wire.limits import Bounds, Limits
from service.wire.server import Server
from service.wire.services import Offered
from service.wire.tls import Tls, server_credentials
from tests.service.wire.asking import MOST_NEW_TOKENS

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
PATIENCE = 60.0
SERVICE = ("-m", "service")
# For tests whose clients do not read, or have all their calls over one connection.
AMPLE = Limits(calls=1024, bounds=Bounds(1 << 40, 3600.0))
_PATIENT = ("--slow-client-tokens", "1000000", "--slow-client-seconds", "3600")


@dataclass(frozen=True)
class Running:
    """A server of this event loop, and a channel to it."""

    server: Server
    models: Models
    versions: Versions
    address: str
    channel: grpc.aio.Channel

    @property
    def generation(self) -> GenerationServiceStub:
        return GenerationServiceStub(self.channel)

    @property
    def model(self) -> ModelServiceStub:
        return ModelServiceStub(self.channel)

    async def events(self, request: pb.GenerateRequest, timeout: float = PATIENCE) -> list[pb.GenerateResponse]:  # noqa: ASYNC109
        """Every event of a generation."""
        return [event async for event in self.generation.Generate(request, timeout=timeout)]

    def idle(self) -> bool:
        """Whether no model has anything to do."""
        return not any(load.running or load.waiting for load in (model.engine.load() for model in self.models))


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 (what is waited for is another thread's)
            await asyncio.sleep(0.005)


@asynccontextmanager
async def serve(
    folder: Path,
    rows: int = 4,
    queue_limit: int = 4,
    most: int = MOST_NEW_TOKENS,
    *,
    max_itl_seconds: float = 0.0,
    tenant_rows: int | None = None,
    drafts: str = "off",
    keep: int = 0,
    role: Role = Role.USER,
    calls: Calls | None = None,
    tls: Tls | None = None,
    trusted: grpc.ChannelCredentials | None = None,
    offered: Offered | None = None,
    limits: Limits = AMPLE,
) -> AsyncIterator[Running]:
    """Serve a folder on a free port. trusted: what the channel shows and trusts, where there is `tls`."""
    settings = EngineSettings(rows, queue_limit, 16, max_itl_seconds, tenant_rows)
    loader = Loader(folder, "cpu", settings, 1)
    models = load_models(loader, keep=keep)
    versions = Versions(models, loader, drafts, keep)
    calls = calls or Calls(Access(anonymous=role))
    server = Server(models, most, calls=calls, versions=versions, offered=offered, limits=limits)
    # A server that is never stopped would be waited for, for ever, by whichever test the garbage collector finds it in.
    async with AsyncExitStack() as stack:
        address = await server.start("127.0.0.1", 0, None if tls is None else server_credentials(tls))
        stack.push_async_callback(server.stop)
        stack.push_async_callback(server.drain, 0)
        stack.push_async_callback(versions.close)
        opened = grpc.aio.insecure_channel(address) if trusted is None else grpc.aio.secure_channel(address, trusted)
        channel = await stack.enter_async_context(opened)
        yield Running(server, models, versions, address, channel)


class Process:
    """A server as a process of its own."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.popen = popen
        self.lines: list[str] = []
        assert popen.stdout is not None
        for line in popen.stdout:
            self.lines.append(line.rstrip("\n"))
            if found := re.fullmatch(r"listening on (\S+)\n", line):
                self.address = found[1]
                return
        raise AssertionError(f"the server did not start: {self.lines} {self.wait()}")

    def terminate(self) -> None:
        self.popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would, if it still runs."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.wait()

    def wait(self) -> tuple[int, str]:
        """Return the exit code and what was written to stderr."""
        _, errors = self.popen.communicate(timeout=PATIENCE)
        return self.popen.returncode, errors


def start_process(folder: Path, port: int, flags: Sequence[str], program: Sequence[str] = SERVICE) -> Process:
    """Start a server and wait until it listens."""
    return Process(
        open_process(["--models", str(folder), "--port", str(port), "--threads", "1", *_PATIENT, *flags], program)
    )


def open_process(arguments: Sequence[str], program: Sequence[str] = SERVICE) -> subprocess.Popen[str]:
    """Start Python in the root of the project."""
    command = [sys.executable, *program, *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
