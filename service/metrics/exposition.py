"""Metrics for Prometheus, over HTTP: read when somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from service.metrics.calls import CallMetrics
from service.metrics.engines import EngineCollector
from service.metrics.process import LoopLag, ProcessMetrics
from service.metrics.versions import VersionCollector
from service.models import Models
from service.versions import Versions


class MetricsPortError(ValueError):
    """Metrics cannot be served where they should."""


def collect_all(models: Models, versions: Versions | None, calls: CallMetrics, lag: LoopLag) -> CollectorRegistry:
    """Return a registry of the engines of `models`, of what changes them, of `calls` and of this process."""
    registry = CollectorRegistry()
    for collector in (EngineCollector(models), calls, VersionCollector(models, versions), ProcessMetrics(lag)):
        registry.register(collector)
    ProcessCollector(registry=registry)
    return registry


@contextmanager
def served(registry: CollectorRegistry, host: str, port: int | None) -> Iterator[str | None]:
    """Serve `registry` over HTTP while the body runs, on threads of its own. Yields its address.

    Port 0 takes a free one, port None serves nothing and yields None. Raises MetricsPortError.
    """
    if port is None:
        yield None
        return
    place = f"[{host}]" if ":" in host else host
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise MetricsPortError(f"cannot serve metrics on {place}:{port}: {error.strerror or error}") from None
    try:
        yield f"http://{place}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
