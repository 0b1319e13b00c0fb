"""How busy each engine is and what it has done, read when somebody asks for it. A token costs nothing here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from service.load import Load, Work
from service.metrics import catalogue
from service.metrics.catalogue import NOBODY, Metric
from service.metrics.families import Value, family
from service.metrics.measures import Measures
from service.models import Models, ServedModel


@dataclass(frozen=True, slots=True)
class _Found:
    """What an engine tells, at one time."""

    load: Load
    work: Work
    measures: Measures


_Read = Callable[[_Found], Value]
_READ: dict[Metric, _Read] = {
    catalogue.REQUESTS_RUNNING: lambda found: found.work.running,
    catalogue.REQUESTS_WAITING: lambda found: found.load.waiting,
    catalogue.TOKENS_WAITING: lambda found: found.work.waiting_tokens,
    catalogue.QUEUE_LIMIT: lambda found: found.load.queue_limit,
    catalogue.RESUMED: lambda found: found.measures.resumed,
    catalogue.FIRST_TOKEN: lambda found: found.measures.first_token,
    catalogue.INTER_TOKEN: lambda found: found.measures.inter_token,
    catalogue.QUEUE_TIME: lambda found: found.measures.queue_time,
    catalogue.PREFILL_TIME: lambda found: found.measures.prefill_time,
    catalogue.PROMPT_TOKENS: lambda found: found.work.prompt_tokens,
    catalogue.GENERATION_TOKENS: lambda found: found.work.generated_tokens,
    catalogue.TOKENS_RESUMED: lambda found: found.measures.resumed_tokens,
    catalogue.DRAFT_TOKENS: lambda found: found.work.drafted_tokens,
    catalogue.ACCEPTED_TOKENS: lambda found: found.work.accepted_tokens,
    catalogue.STEP_ROWS: lambda found: found.measures.step_rows,
    catalogue.ROWS: lambda found: found.load.rows,
    catalogue.ROWS_RUNNING: lambda found: found.load.running,
    catalogue.ROWS_FREE: lambda found: found.load.rows - found.load.running,
    catalogue.STATE_BYTES: lambda found: found.load.rows * found.load.state_bytes_per_row,
}


class EngineCollector(Collector):
    """Asks the engine of every model, those that leave too, labelled model_name="name@version"."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[Family]:
        """Yield what engines tell, and what their models are."""
        models = self._models.loaded
        found = {model.reference: _ask(model) for model in models}
        for metric, read in _READ.items():
            yield family(metric, {(name,): read(one) for name, one in found.items()})
        phases = {"prefill": "prefill_step", "decode": "decode_step"}
        yield family(
            catalogue.STEP_TIME,
            {(name, phase): getattr(one.measures, of) for name, one in found.items() for phase, of in phases.items()},
        )
        yield family(catalogue.LOAD_TIME, {(model.reference,): model.load_seconds for model in models})
        yield family(catalogue.MODEL_INFO, {_described(model): 1 for model in models})


def _ask(model: ServedModel) -> _Found:
    return _Found(model.engine.load(), model.engine.work(), model.engine.measures)


def _described(model: ServedModel) -> tuple[str, ...]:
    manifest, placement = model.manifest, model.placement
    return (
        model.reference,
        manifest.family or NOBODY,
        manifest.precision,
        placement.device,
        str(placement.threads),
    )
