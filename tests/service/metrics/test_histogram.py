"""Our histogram against prometheus_client's own: the same values give the same exposition."""

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as Reference
from prometheus_client.parser import text_string_to_metric_families

from service.metrics.catalogue import ALL, LOOP_LAG, Kind, Metric
from service.metrics.families import family
from service.metrics.histogram import Histogram

HISTOGRAMS = [metric for metric in ALL if metric.kind is Kind.HISTOGRAM]


class Only:
    """A collector of one family."""

    def __init__(self, found):
        self.collect = lambda: [found]


def exposed(collector) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    registry.register(collector)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    samples = [sample for found in families for sample in found.samples if not sample.name.endswith("_created")]
    return {(sample.name, *sorted(sample.labels.values())): sample.value for sample in samples}


def both(metric: Metric, values: list[tuple[float, int]]) -> tuple[dict, dict]:
    """What `values`, each so many times, are in ours and in theirs."""
    ours, labels = Histogram(metric.bounds), tuple("x" for _ in metric.labels)
    theirs = Reference(metric.full_name, "told", metric.labels, buckets=metric.bounds, registry=None)
    for value, count in values:
        ours.add(value, count)
        for _ in range(count):
            (theirs.labels(*labels) if labels else theirs).observe(value)
    return exposed(Only(family(metric, {labels: ours}))), exposed(theirs)


@pytest.mark.parametrize("metric", HISTOGRAMS, ids=lambda metric: metric.name)
def test_values_on_bounds_and_around_them_lie_where_prometheus_client_has_them(metric: Metric):
    around = [float(np.nextafter(bound, to)) for bound in metric.bounds for to in (0.0, bound, np.inf)]
    ours, theirs = both(metric, [(value, 1) for value in (0.0, *around, 1e9)])
    assert ours == pytest.approx(theirs, rel=1e-12)
    assert len(ours) == len(metric.bounds) + 3


def test_a_value_that_is_added_many_times_counts_so_often():
    metric = HISTOGRAMS[0]
    drawn = np.random.default_rng(7)
    values = list(zip(drawn.lognormal(-5, 3, 200).tolist(), drawn.integers(1, 40, 200).tolist(), strict=True))
    ours, theirs = both(metric, values)
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_an_empty_histogram_has_every_bucket_at_zero():
    ours, theirs = both(LOOP_LAG, [])
    assert ours == theirs
    assert set(ours.values()) == {0.0}
