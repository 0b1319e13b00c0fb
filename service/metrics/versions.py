"""Which versions there are, and how often that has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from service.metrics import catalogue
from service.metrics.families import family
from service.models import Models
from service.version import State
from service.versions import Versions


class VersionCollector(Collector):
    """Asks what is served, and what changes it."""

    def __init__(self, models: Models, versions: Versions | None) -> None:
        """versions: that change `models`; None: nothing does."""
        self._models = models
        self._versions = versions

    def collect(self) -> Iterator[Family]:
        """Yield versions by state, those that were loaded and could not be, those that have gone."""
        changing = self._versions
        states = Counter(version.state for version in (changing.others() if changing else ()))
        states[State.READY] = len(self._models.references)
        yield family(catalogue.VERSIONS, {(state.value,): states[state] for state in State})
        loads = {"ok": changing.loads, "failed": changing.failures} if changing else {"ok": 0, "failed": 0}
        yield family(catalogue.LOADS, {(outcome,): count for outcome, count in loads.items()})
        yield family(catalogue.UNLOADS, {(): changing.unloads if changing else 0})
