"""`python -m service`: loads the models of a folder and serves them until it is told to stop.

Exit codes: 0 after SIGTERM or SIGINT, 1 when a model failed, 2 when the server could not start.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bundle.device import DeviceError
from bundle.folder import BundleError
from bundle.memory import give_back, keep_freed
from bundle.trial import bad_bundles
from service import logs
from service.callers import CallersError
from service.connections import allow_connections
from service.engine import EngineSettings
from service.loading import Loader, load_models
from service.metrics.calls import CallMetrics
from service.metrics.exposition import MetricsPortError, served
from service.models import ServedModel, UnknownModelError
from service.settings import Settings, SettingsError, read_settings
from service.traces import Traces, TracesError, open_traces
from service.versions import Versions
from service.wire.calls import Calls
from service.wire.entrance import Entrance, read_entrance, warn_of_what_is_open
from service.wire.limits import Bounds, Limits
from service.wire.server import PortError, Server
from service.wire.services import Offered
from service.wire.tls import TlsError

# How long the event loop may keep the interpreter's lock while the engine's thread, which wants it after every step,
# waits. With 32 streams on two busy cores, 0.2 to 1 ms gave a tenth to a third more tokens per second than the default
# of 5 ms.
_SWITCH_SECONDS = 0.0005
# What is left of calls to other models when one has failed.
_FAILED_SECONDS = 1.0
# Why a server cannot start, in words for whoever starts it.
_REASONS = (SettingsError, BundleError, DeviceError, PortError, MetricsPortError, TlsError, CallersError, TracesError)

_log = logging.getLogger("service")


def main(arguments: list[str] | None = None) -> int:
    """Serve. Returns the exit code."""
    try:
        settings = read_settings(sys.argv[1:] if arguments is None else arguments)
        logs.configure(settings.log_level, settings.log_format)
        entrance, traces = read_entrance(settings), open_traces(settings.traces_endpoint)
        itl = settings.max_itl_ms / 1e3
        most = settings.tenant_rows or None
        engine = EngineSettings(settings.rows, settings.queue_limit, settings.chunk_tokens, itl, most)
        spin = {"on": True, "off": False, "auto": None}[settings.spin]
        keep_freed()
        # What has been imported is never garbage. Looking through it took 30 to 45 ms each time, for which every stream
        # waits. Models are left out: they can be unloaded.
        gc.freeze()
        trial = settings.trial == "on"
        bad = bad_bundles(settings.models) if trial else {}
        loader = Loader(settings.models, settings.device, engine, settings.threads, spin, trial, bad)
        models = load_models(loader, keep=settings.kept, pass_over=settings.watch_seconds > 0)
        give_back()  # what was opened only to be measured
        try:
            versions = Versions(models, loader, settings.drafts, settings.kept)
        except UnknownModelError as error:
            raise SettingsError(f"--drafts: {error}, and off and prompt") from None
        return _run(versions, settings, entrance, traces)
    except _REASONS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # while models are loaded
        return 130


def _run(versions: Versions, settings: Settings, entrance: Entrance, traces: Traces | None) -> int:
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        import uvloop
    except ModuleNotFoundError:  # there is none for Windows
        return asyncio.run(serve(versions, settings, entrance, traces))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(versions, settings, entrance, traces))


async def serve(versions: Versions, settings: Settings, entrance: Entrance, traces: Traces | None = None) -> int:
    """Serve models until a signal comes or one of them fails. Returns the exit code.

    Raises:
        PortError: the server cannot listen where it should.
        MetricsPortError: nor can metrics.
    """
    signals: asyncio.Queue[int] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signals.put_nowait, number)
    tenant_requests, words = settings.tenant_requests or None, settings.log_prompts == "on"
    metrics = CallMetrics(settings.metrics_tenants)
    calls = Calls(entrance.access, log_prompts=words, tenant_requests=tenant_requests, metrics=metrics, traces=traces)
    most = settings.max_new_tokens_limit
    offered = Offered(settings.reflection == "on", settings.open_inference == "on")
    bounds = Bounds(settings.slow_client_tokens, settings.slow_client_seconds)
    connections, age = allow_connections(settings.connections), settings.max_connection_age_seconds
    limits = Limits(connections, settings.connection_calls, bounds, age)
    server = Server(versions.models, most, calls, versions=versions, offered=offered, limits=limits)
    with served(server.metrics, settings.host, settings.metrics_port) as url:
        address = await server.start(settings.host, settings.port, entrance.credentials)
        warn_of_what_is_open(settings)
        if settings.health_port is not None:
            print(f"health on {await server.answer_probes(settings.host, settings.health_port)}", flush=True)
        for model in versions.models:
            print(_describe(model), flush=True)
        if url is not None:
            print(f"metrics on {url}", flush=True)
        print(f"listening on {address}", flush=True)
        async with _changing(versions, settings.watch_seconds):
            code = await _until_told(server, signals, settings)
        if traces is not None:
            await asyncio.to_thread(traces.close)
        return code


@asynccontextmanager
async def _changing(versions: Versions, watch_seconds: float) -> AsyncIterator[None]:
    """Look for new versions while the body runs, if so told; end what changes models after that."""
    watching = asyncio.create_task(versions.watch(watch_seconds)) if watch_seconds else None
    try:
        yield
    finally:
        if watching is not None:
            watching.cancel()
        await versions.close()


async def _until_told(server: Server, signals: asyncio.Queue[int], settings: Settings) -> int:
    """Wait for a signal or a failure and end `server`, giving calls their time. Returns the exit code."""
    told, failed = asyncio.create_task(signals.get()), asyncio.create_task(server.failed())
    await asyncio.wait((told, failed), return_when=asyncio.FIRST_COMPLETED)
    if failed.done():
        _log.error("a model failed: the server ends")
        draining = asyncio.create_task(server.drain(_FAILED_SECONDS))
    else:
        lame_duck, seconds = settings.lame_duck_seconds, settings.drain_seconds
        _log.info("draining: new calls are taken for %g s more, running calls have %g s after that", lame_duck, seconds)
        draining = asyncio.create_task(server.drain(seconds, lame_duck))
    told_again = asyncio.create_task(signals.get())
    await asyncio.wait((draining, told_again), return_when=asyncio.FIRST_COMPLETED)
    if not draining.done():
        server.end_calls()
    await draining
    await server.stop()
    return 1 if failed.done() else 0


def _describe(model: ServedModel) -> str:
    manifest = model.manifest
    context = "any length" if manifest.context_limit is None else f"context {manifest.context_limit}"
    source = "" if manifest.source_limit is None else f", source {manifest.source_limit}"
    return (
        f"{model.reference}: {manifest.family}, vocabulary {manifest.vocabulary_size}, {context}{source}, "
        f"on {model.placement.device}"
    )


if __name__ == "__main__":
    sys.exit(main())
