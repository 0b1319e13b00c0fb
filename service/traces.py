"""Traces of calls, by OpenTelemetry: a span for each call, and in it one each for the queue, the prompt and the tokens.

Spans are made of times that are taken anyway, when a call has ended: a token costs nothing here. What calls belong to,
and whether they are sampled, is what W3C's `traceparent` beside a request says. Names are those of OpenTelemetry's
conventions for generative AI. No span holds a prompt, a text or a token. Knows nothing about gRPC but what its own
exporter does.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.chunk import Timings
from service.release import VERSION
from service.request import GenerationRequest

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

# Of one export; longer than a collector that works takes, and short beside what a server has to drain.
_EXPORT_SECONDS = 5.0
_ENDPOINT = re.compile(r"https?://(?:[\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}/?")
# Of these the server is at fault, by OpenTelemetry's conventions for gRPC; of all others whoever calls.
_FAULTS = ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")

_log = logging.getLogger("service.traces")


class TracesError(ValueError):
    """Traces cannot be sent. The message is one line that says what is missing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call.

    code: name of its status.    reason: of an error, or None.    timings: of the engine, if one ran it.
    """

    code: str
    reason: str | None
    model: str | None
    tenant: str
    prompt_tokens: int
    tokens: int
    finishes: list[str]
    timings: Timings | None


class CallSpan:
    """The span of one call.

    trace_id, span_id: in hexadecimal digits, as logs name them, whether the call is sampled or not.
    """

    def __init__(self, traces: Traces, span: Span) -> None:
        self._traces = traces
        self._span = span
        # What steps are timed by, in nanoseconds of the clock of spans.
        self._clock = time.time_ns() - time.monotonic_ns()
        told = span.get_span_context()
        self.trace_id, self.span_id = f"{told.trace_id:032x}", f"{told.span_id:016x}"

    @property
    def sampled(self) -> bool:
        """Whether it goes anywhere."""
        return self._span.is_recording()

    def ask(self, request: GenerationRequest, operation: str) -> None:
        """Tell what is asked for. operation: "chat" or "text_completion"."""
        if not self.sampled:
            return
        sampling = request.sampling
        told: dict[str, AttributeValue] = {
            "gen_ai.operation.name": operation,
            "gen_ai.response.id": request.request_id,
            "gen_ai.request.max_tokens": request.stop.max_new_tokens,
            "gen_ai.request.choice.count": request.samples,
            # As text: a seed has 64 bits without a sign, a number here 63.
            "gen_ai.request.seed": str(request.seed) if request.seed >> 63 else request.seed,
            "gen_ai.request.temperature": sampling.temperature,
            "gen_ai.request.top_p": sampling.top_p,
            "gen_ai.request.top_k": sampling.top_k,
            "gen_ai.request.frequency_penalty": sampling.frequency_penalty,
            "gen_ai.request.presence_penalty": sampling.presence_penalty,
            "seqstream.resumed_tokens": len(request.resume),
        }
        self._span.set_attributes(told)

    def detokenized(self, seconds: float) -> None:
        """Tell how long tokens took to become text."""
        self._span.set_attribute("seqstream.detokenize.seconds", seconds)

    def end(self, outcome: Outcome) -> None:
        """End it now, with what became of the call."""
        now = time.monotonic_ns() + self._clock
        if self.sampled:
            self._span.set_attributes(_attributes(outcome))
            if outcome.code in _FAULTS:
                self._traces.fail(self._span, outcome.reason or outcome.code)
            if outcome.timings is not None:
                self._phases(outcome, outcome.timings, now)
        self._span.end(now)

    def _phases(self, outcome: Outcome, spent: Timings, now: int) -> None:
        """Make the spans of what an engine did, which ends now."""
        phases: list[tuple[str, float, dict[str, AttributeValue]]] = [
            ("queue", spent.queue_seconds, {}),
            ("prefill", spent.prefill_seconds, {"gen_ai.usage.input_tokens": outcome.prompt_tokens}),
            ("decode", spent.decode_seconds, {"gen_ai.usage.output_tokens": outcome.tokens}),
        ]
        if not spent.prefill_seconds:  # it never began
            phases = phases[:1]
        begin = now - sum(int(1e9 * seconds) for _, seconds, _ in phases)
        for name, seconds, attributes in phases:
            end = begin + int(1e9 * seconds)
            self._traces.phase(name, self._span, attributes, begin, end)
            begin = end


class Traces:
    """Makes spans and sends them, on a thread of its own."""

    def __init__(self, provider: TracerProvider) -> None:
        # Only where traces are wanted: whoever has none needs no OpenTelemetry.
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        self._provider = provider
        self._tracer = provider.get_tracer("seqstream", VERSION)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> CallSpan:
        """Begin the span of a call, under what its metadata says that it belongs to."""
        carrier = {key: value for key, value in metadata if isinstance(value, str)}
        parent = self._propagator.extract(carrier)
        attributes = {"rpc.system.name": "grpc", "rpc.method": method}
        kind = self._trace.SpanKind.SERVER
        return CallSpan(self, self._tracer.start_span(method, parent, kind, attributes))

    def phase(self, name: str, span: Span, attributes: dict[str, AttributeValue], begin: int, end: int) -> None:
        """Make a span inside of another, from `begin` to `end` in nanoseconds."""
        parent = self._trace.set_span_in_context(span)
        self._tracer.start_span(name, parent, attributes=attributes, start_time=begin).end(end)

    def fail(self, span: Span, reason: str) -> None:
        """Mark a span as a fault of the server's."""
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, reason))

    def close(self) -> None:
        """Send what is left, and nothing more. Takes a few seconds if nobody listens."""
        self._provider.shutdown()


def open_traces(endpoint: str | None) -> Traces | None:
    """Return what sends traces to an OTLP collector over gRPC, "http://host:4317"; None where none is named.

    The SDK's own environment holds for the rest: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, ….

    Raises:
        TracesError: it cannot be used.
    """
    if endpoint is None:
        return None
    if not _ENDPOINT.fullmatch(endpoint):
        raise TracesError(f"--traces-endpoint: {endpoint!r}; allowed: http://HOST:PORT, or https://HOST:PORT")
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError:
        raise TracesError("--traces-endpoint: OpenTelemetry is missing: pip install 'seqstream[traces]'") from None
    named = Resource({"service.name": "seqstream", "service.version": VERSION})
    provider = TracerProvider(resource=Resource.create().merge(named).merge(OTELResourceDetector().detect()))
    exporter = OTLPSpanExporter(endpoint, timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _log.info("traces go to %s", endpoint)
    return Traces(provider)


def _attributes(outcome: Outcome) -> dict[str, AttributeValue]:
    told: dict[str, AttributeValue] = {"rpc.response.status_code": outcome.code}
    if outcome.code != "OK":
        told["error.type"] = outcome.reason or outcome.code
    if outcome.tenant:
        told["seqstream.tenant"] = outcome.tenant
    if outcome.model is not None:
        told |= {
            "gen_ai.provider.name": "seqstream",
            "gen_ai.request.model": outcome.model.partition("@")[0],
            "gen_ai.response.model": outcome.model,
        }
    if (spent := outcome.timings) is not None:
        told |= {
            "gen_ai.usage.input_tokens": outcome.prompt_tokens,
            "gen_ai.usage.output_tokens": outcome.tokens,
            "gen_ai.response.finish_reasons": outcome.finishes,
        }
        if spent.prefill_seconds:
            told["gen_ai.response.time_to_first_chunk"] = spent.first_token_seconds
    return told
