"""The trace that a client's call belongs to: what is current where the client runs, if it uses OpenTelemetry at all."""

from __future__ import annotations

import sys


def trace_context() -> tuple[tuple[str, str], ...]:
    """Return the metadata by W3C Trace Context: `traceparent`, and `tracestate` if there is one.

    Nothing where no span is current. Whoever has not imported OpenTelemetry has none, and need not have it installed.
    """
    if "opentelemetry.trace" not in sys.modules:
        return ()
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return tuple(carrier.items())
