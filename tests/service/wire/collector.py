"""A collector of traces: OTLP's own service over gRPC, which keeps what it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tests.service.wire.running import PATIENCE

ERROR = 2


@dataclass(frozen=True)
class Span:
    """One span as it was sent. ids in hexadecimal digits, times in nanoseconds."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    start: int
    end: int
    status: int
    status_message: str
    attributes: dict[str, Any]
    resource: dict[str, Any]

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / 1e9


@dataclass
class Collector(TraceServiceServicer):
    """address: "http://host:port"."""

    address: str = ""
    spans: list[Span] = field(default_factory=list)
    _news: Condition = field(default_factory=Condition)

    def Export(self, request: otlp.ExportTraceServiceRequest, context: grpc.ServicerContext):  # noqa: N802
        with self._news:
            for group in request.resource_spans:
                resource = _read(group.resource.attributes)
                for scope in group.scope_spans:
                    self.spans += [_span(span, resource) for span in scope.spans]
            self._news.notify_all()
        return otlp.ExportTraceServiceResponse()

    def wait_for(self, count: int) -> list[Span]:
        """Every span, once there are so many."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.spans) >= count, PATIENCE), self.spans
            return list(self.spans)


@contextmanager
def collecting() -> Iterator[Collector]:
    collector, server = Collector(), grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(collector, server)
    collector.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()


def _span(span: Any, resource: dict[str, Any]) -> Span:
    return Span(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=span.kind,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        status=span.status.code,
        status_message=span.status.message,
        attributes=_read(span.attributes),
        resource=resource,
    )


def _read(attributes: list[KeyValue]) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)
