"""Metrics for Prometheus: how busy each engine is and what it has done, read when somebody asks for it.

A token costs the engine one addition and nothing here. Knows nothing about gRPC: whoever takes calls counts them in
`call_counter()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from service.load import Load, Work
from service.models import Models

_Family = type[GaugeMetricFamily] | type[CounterMetricFamily]
_Read = Callable[[Load, Work], int]

_FAMILIES: tuple[tuple[_Family, str, str, _Read], ...] = (
    (
        GaugeMetricFamily,
        "seqstream_num_requests_running",
        "Requests whose prompt is being consumed or whose samples run.",
        lambda _, work: work.running,
    ),
    (
        GaugeMetricFamily,
        "seqstream_num_requests_waiting",
        "Requests that wait for rows.",
        lambda load, _: load.waiting,
    ),
    (
        GaugeMetricFamily,
        "seqstream_num_tokens_waiting",
        "Tokens of the prompts and sources of requests that wait for rows.",
        lambda _, work: work.waiting_tokens,
    ),
    (GaugeMetricFamily, "seqstream_rows", "Samples that can run at once.", lambda load, _: load.rows),
    (GaugeMetricFamily, "seqstream_rows_running", "Rows in use by running samples.", lambda load, _: load.running),
    (
        GaugeMetricFamily,
        "seqstream_state_bytes",
        "Memory allocated for the state of all rows.",
        lambda load, _: load.rows * load.state_bytes_per_row,
    ),
    (
        CounterMetricFamily,
        "seqstream_prompt_tokens",
        "Tokens of prompts and sources consumed.",
        lambda _, work: work.prompt_tokens,
    ),
    (
        CounterMetricFamily,
        "seqstream_generation_tokens",
        "Tokens drawn; those that a client resumed with are not drawn again.",
        lambda _, work: work.generated_tokens,
    ),
)


class MetricsPortError(ValueError):
    """Metrics cannot be served where they should."""


class EngineCollector(Collector):
    """Asks the engine of every model at every scrape."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Yield the metrics of all models, those that leave too, labelled model_name="name@version"."""
        found = [(model.reference, model.engine.load(), model.engine.work()) for model in self._models.loaded]
        for family, name, documentation, read in _FAMILIES:
            metric = family(name, documentation, labels=("model_name",))
            for reference, load, work in found:
                metric.add_metric((reference,), read(load, work))
            yield metric


def call_counter() -> Counter:
    """Return a counter of calls by model ("-" where none was found), method and status."""
    labels = ("model_name", "method", "code")
    return Counter("seqstream_requests", "Calls that have ended.", labels, registry=None)


def collect_all(models: Models, calls: Counter) -> CollectorRegistry:
    """Return a registry of the engines of `models`, of `calls` and of this process."""
    registry = CollectorRegistry()
    registry.register(EngineCollector(models))
    registry.register(calls)
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
