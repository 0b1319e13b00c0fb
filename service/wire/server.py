"""The gRPC server: all services on one port, and an orderly end.

Knows nothing about signals, settings or how models are loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.metrics.exposition import collect_all
from service.metrics.process import LoopLag
from service.models import Models
from service.versions import Versions
from service.wire.calls import Calls
from service.wire.generation import GenerationServicer
from service.wire.health import HealthServicer
from service.wire.inference import InferenceServicer
from service.wire.inspection import InspectionServicer
from service.wire.limits import Limits
from service.wire.model import ModelServicer
from service.wire.readable import Readable
from service.wire.services import Offered, Services

# Time in which the last statuses reach clients, and after which streams of the health service are cut.
_LAST_WORDS_SECONDS = 0.5


_OPTIONS = (
    # A port in use is an error: by default a second server would take part of its connections in silence.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 16 << 10),
    # Who connects and says nothing is gone in ten seconds, who asks nothing in five minutes: others need the places.
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 300_000),
    # A client that is gone without a word is noticed within a minute, and its rows are freed.
    ("grpc.keepalive_time_ms", 40_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Clients may ping, too: every ten seconds, between calls as well.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


class PortError(ValueError):
    """The server cannot listen where it should."""


class Server:
    """Serves `models`, whose engines it starts and stops. metrics: of both."""

    def __init__(
        self,
        models: Models,
        most_new_tokens: int,
        calls: Calls | None = None,
        *,
        versions: Versions | None = None,
        offered: Offered | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Assemble the server.

        most_new_tokens: the most that a request may ask for.
        calls: takes the calls; by default nobody is asked who calls.
        versions: that change `models`; None: nothing does.
        offered: beside the server's own services; by default all there is.
        limits: of what clients take.
        """
        self._models = models
        self._calls = calls or Calls()
        self._lag = LoopLag()
        self.metrics = collect_all(models, versions, self._calls.metrics, self._lag)
        self._health = HealthServicer()
        self._hurried = asyncio.Event()
        limits = limits or Limits()
        self._telling: asyncio.Task[None] | None = None
        age = (("grpc.max_connection_age_ms", int(1e3 * limits.age)),) if limits.age else ()
        self._options = (
            *_OPTIONS,
            ("grpc.max_allowed_incoming_connections", limits.connections),
            # So many can be opened and reset, over and over, before one of another connection has its turn.
            ("grpc.max_concurrent_streams", limits.calls),
        )
        self._server = grpc.aio.server(interceptors=(Readable(self._calls),), options=self._options + age)
        offered = offered or Offered()
        generation = GenerationServicer(models, self._calls, most_new_tokens, limits.bounds)
        model, inspection = ModelServicer(models, self._calls, versions), InspectionServicer(models, self._calls)
        inference = None
        if offered.open_inference:
            inference = InferenceServicer(models, self._calls, self._health, most_new_tokens, limits, versions)
        services = Services(generation, model, inspection, self._health, inference)
        services.add_to(self._server)
        if offered.reflection:
            services.describe(self._calls, self._server)
        self._probed: grpc.aio.Server | None = None

    async def start(self, host: str, port: int, credentials: grpc.ServerCredentials | None = None) -> str:
        """Start the engines and listen; port 0 takes a free one. Returns "host:port".

        credentials: for TLS; without them nothing is encrypted.

        Raises:
            PortError: the port is taken, or not to be had.
        """
        bound = _listen(self._server, host, port, credentials)
        for model in self._models:
            model.engine.start()
        revision = self._models.revision
        names = await self._tell_health(set())
        self._telling = asyncio.create_task(self._keep_telling(names, revision))
        await self._server.start()
        self._lag.start()
        return bound

    async def answer_probes(self, host: str, port: int) -> str:
        """Listen on another port that has health alone, never encrypted. Returns "host:port". Raises PortError."""
        self._probed = grpc.aio.server(interceptors=(Readable(self._calls),), options=self._options)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._probed)
        bound = _listen(self._probed, host, port, None)
        await self._probed.start()
        return bound

    async def failed(self) -> None:
        """Return when a step of any model has raised: the server is then of no use."""
        while not any(model.engine.failed.is_set() for model in self._models.loaded):
            changed = self._models.changed(self._models.revision)
            waiting = [asyncio.ensure_future(model.engine.failed.wait()) for model in self._models.loaded]
            tasks = [asyncio.ensure_future(changed), *waiting]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()

    async def drain(self, seconds: float, lame_duck: float = 0.0) -> None:
        """Tell by health that the server goes, and still take calls for `lame_duck` seconds; then refuse new ones.

        Those that run have `seconds` from then on to finish, and are ended.
        """
        await self._health.enter_graceful_shutdown()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurried.wait(), lame_duck)
        await self._calls.end(0.0 if self._hurried.is_set() else seconds)

    def end_calls(self) -> None:
        """End the calls that still run, now. For while `drain` waits."""
        self._hurried.set()
        self._calls.end_now()

    async def stop(self) -> None:
        """Stop listening and end the engines. To be called after `drain`."""
        self._lag.stop()
        await self._server.stop(_LAST_WORDS_SECONDS)
        if self._probed is not None:
            await self._probed.stop(None)
        if self._telling is not None:
            self._telling.cancel()
        for model in self._models.loaded:
            await model.engine.stop()

    async def _keep_telling(self, names: set[str], revision: int) -> None:
        """Tell by health which models there are, whenever that changes."""
        while True:
            revision = await self._models.changed(revision)
            names = await self._tell_health(names)

    async def _tell_health(self, told: set[str]) -> set[str]:
        """Tell of every name of a model, and of those that were told of before and are gone. Returns the names."""
        names = {"", *self._models.names}
        for name in told - names:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        for name in names - told:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return names


def _listen(server: grpc.aio.Server, host: str, port: int, credentials: grpc.ServerCredentials | None) -> str:
    """Let `server` listen there. Returns "host:port". Raises PortError."""
    address = _address(host, port)
    try:
        _try_to_bind(host, port)
        if credentials is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, credentials)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PortError(f"cannot listen on {address}: {reason}") from None
    return _address(host, bound)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _try_to_bind(host: str, port: int) -> None:
    """Raise the OSError that says why this address cannot be listened on: gRPC only writes it to its own log."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
