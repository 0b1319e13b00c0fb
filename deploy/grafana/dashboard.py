"""The dashboard: a row of panels for every group of metrics, and a panel for every metric.

What a panel shows follows from the metric's kind: a gauge as it is, a counter by the second, of a histogram the median
and the 95th and 99th of a hundred. Knows Grafana's JSON, and no server.
"""

from __future__ import annotations

from typing import Any

from deploy.grafana.queries import Query, queries
from service.metrics.catalogue import GROUPS, Metric

_COLUMNS, _WIDTH, _HEIGHT = 3, 8, 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Grafana's names of units.
_UNITS = {"s": "s", "bytes": "bytes", "": "short"}


def dashboard() -> dict[str, Any]:
    """Return the dashboard, as Grafana imports it."""
    return {
        "title": "seqstream",
        "uid": "seqstream",
        "schemaVersion": 39,
        "tags": ["seqstream"],
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [_datasource(), _variable("instance"), _variable("model_name")]},
        "panels": _panels(),
    }


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    top = 0
    for title, metrics in GROUPS.items():
        place = {"h": 1, "w": _COLUMNS * _WIDTH, "x": 0, "y": top}
        panels.append({"type": "row", "title": title, "gridPos": place, "collapsed": False, "panels": []})
        top += 1
        for number, metric in enumerate(metrics):
            row, column = divmod(number, _COLUMNS)
            place = {"h": _HEIGHT, "w": _WIDTH, "x": column * _WIDTH, "y": top + row * _HEIGHT}
            panels.append(_panel(metric, place))
        top += _HEIGHT * -(-len(metrics) // _COLUMNS)
    return [{"id": number, **panel} for number, panel in enumerate(panels, 1)]


def _panel(metric: Metric, place: dict[str, int]) -> dict[str, Any]:
    asked = queries(metric)
    defaults = {"unit": asked[0].unit or _UNITS[metric.unit], "min": 0}
    return {
        "type": "table" if metric.name.endswith("_info") else "timeseries",
        "title": metric.full_name,
        "description": metric.documentation,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [_target(chr(ord("A") + number), query, metric) for number, query in enumerate(asked)],
    }


def _target(name: str, query: Query, metric: Metric) -> dict[str, Any]:
    target = {"refId": name, "datasource": _SOURCE, "expr": query.expression, "legendFormat": query.legend}
    return target | ({"format": "table", "instant": True} if metric.name.endswith("_info") else {})


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _variable(label: str) -> dict[str, Any]:
    """Return a choice among the values of a label."""
    return {
        "name": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": f"label_values(seqstream_rows, {label})",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
