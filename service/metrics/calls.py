"""What became of calls: counted by whoever takes them, on the event loop; read by any thread.

No more series than models, methods, statuses, reasons and known tenants: nothing that a client makes up is a label but
the names of the first tenants. Knows nothing about gRPC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from service.chunk import Timings
from service.metrics import catalogue
from service.metrics.catalogue import NOBODY, OTHERS
from service.metrics.families import family
from service.metrics.histogram import Histogram

# Told from the start, as nothing has happened: a rate needs a value to grow from.
_REASONS = ("DEADLINE_TOO_NEAR", "DRAINING", "INTERNAL", "QUEUE_FULL", "SLOW_CONSUMER", "TENANT_FULL")


@dataclass(frozen=True, slots=True)
class Served:
    """What a call had of an engine. tokens: generated or scored."""

    seconds: float
    timings: Timings
    prompt_tokens: int
    tokens: int


@dataclass(frozen=True, slots=True)
class _OfModel:
    latency: Histogram = field(default_factory=lambda: Histogram(catalogue.LATENCY.bounds))
    decode_time: Histogram = field(default_factory=lambda: Histogram(catalogue.DECODE_TIME.bounds))
    prompt_tokens: Histogram = field(default_factory=lambda: Histogram(catalogue.REQUEST_PROMPT.bounds))
    generation_tokens: Histogram = field(default_factory=lambda: Histogram(catalogue.REQUEST_GENERATION.bounds))


class CallMetrics(Collector):
    """Counts calls that have ended."""

    def __init__(self, most_tenants: int = 100) -> None:
        """most_tenants: that have series of their own, in the order in which they come; the others share one."""
        self._most_tenants = most_tenants
        self._tenants: set[str] = set()
        self._ended = Counter[tuple[str, ...]]()
        self._refused = Counter[tuple[str, ...]]({(reason,): 0 for reason in _REASONS})
        self._finished = Counter[tuple[str, ...]]()
        self._served: dict[str, _OfModel] = {}

    def end(self, model: str | None, method: str, code: str, tenant: str) -> None:
        """Count a call. model: None where none was found. tenant: empty where none was named."""
        self._ended[model or NOBODY, method, code, self._known(tenant)] += 1

    def refuse(self, reason: str) -> None:
        """Count an error, by a reason of this program's."""
        self._refused[reason,] += 1

    def finish(self, model: str, reasons: Iterable[str]) -> None:
        """Count samples that have ended, by why."""
        for reason in reasons:
            self._finished[model, reason] += 1

    def serve(self, model: str, served: Served) -> None:
        """Note a call that an engine ran and that ended well."""
        of = self._served.setdefault(model, _OfModel())
        of.latency.add(served.seconds)
        of.decode_time.add(served.timings.decode_seconds)
        of.prompt_tokens.add(served.prompt_tokens)
        of.generation_tokens.add(served.tokens)

    def collect(self) -> Iterator[Family]:
        """Yield all of it."""
        # Copies: the event loop's thread goes on counting.
        yield family(catalogue.REQUESTS, self._ended.copy())
        yield family(catalogue.REFUSED, self._refused.copy())
        yield family(catalogue.FINISHED, self._finished.copy())
        served = self._served.copy()
        yield family(catalogue.LATENCY, {(model,): of.latency for model, of in served.items()})
        yield family(catalogue.DECODE_TIME, {(model,): of.decode_time for model, of in served.items()})
        yield family(catalogue.REQUEST_PROMPT, {(model,): of.prompt_tokens for model, of in served.items()})
        yield family(catalogue.REQUEST_GENERATION, {(model,): of.generation_tokens for model, of in served.items()})

    def _known(self, tenant: str) -> str:
        if not tenant:
            return NOBODY
        if tenant not in self._tenants:
            if len(self._tenants) >= self._most_tenants:
                return OTHERS
            self._tenants.add(tenant)
        return tenant
