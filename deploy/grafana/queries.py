"""What Prometheus is asked for a metric, by its kind. Knows nothing about Grafana but the names of its variables."""

from __future__ import annotations

from dataclasses import dataclass

from service.metrics.catalogue import Kind, Metric

_QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, what its lines are called, and the unit of its values where it is not the metric's."""

    expression: str
    legend: str
    unit: str = ""


def queries(metric: Metric) -> list[Query]:
    """Return what tells how `metric` goes, over all chosen servers."""
    selected = f"{metric.series}{_selector(metric)}"
    by = f" by ({', '.join(metric.labels)})" if metric.labels else ""
    legend = " ".join("{{" + label + "}}" for label in metric.labels)
    if metric.kind is Kind.GAUGE:
        return [Query(f"sum{by} ({selected})", legend)]
    if metric.kind is Kind.COUNTER:
        return [Query(f"sum{by} (rate({selected}[$__rate_interval]))", legend, "cps")]
    within = ", ".join(("le", *metric.labels))
    rates = f"sum by ({within}) (rate({selected}[$__rate_interval]))"
    return [
        Query(f"histogram_quantile({quantile}, {rates})", f"{100 * quantile:g} % {legend}".rstrip())
        for quantile in _QUANTILES
    ]


def _selector(metric: Metric) -> str:
    chosen = ['instance=~"$instance"']
    if "model_name" in metric.labels:
        chosen.append('model_name=~"$model_name"')
    return "{" + ", ".join(chosen) + "}"
