"""Values become families of prometheus_client, by what the catalogue says of their metric."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family

from service.metrics.catalogue import Kind, Metric
from service.metrics.histogram import Histogram

Value = float | Histogram


def family(metric: Metric, values: Mapping[tuple[str, ...], Value]) -> Family:
    """Return the family of `metric`: `values` by the values of its labels, histograms for a histogram."""
    name, documentation, labels = metric.full_name, metric.documentation, metric.labels
    if metric.kind is Kind.HISTOGRAM:
        histograms = HistogramMetricFamily(name, documentation, labels=labels)
        for given, value in values.items():
            assert isinstance(value, Histogram), "a histogram has buckets"
            histograms.add_metric(given, value.cumulative(), value.total)
        return histograms
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    found = kind(name, documentation, labels=labels)
    for given, value in values.items():
        assert not isinstance(value, Histogram), "one number each"
        found.add_metric(given, value)
    return found
