"""The list of metrics: nothing is left out, and what is documented and drawn is what it says."""

import re
from pathlib import Path

import pytest

from deploy.grafana.__main__ import FILE, text
from service.metrics import catalogue
from service.metrics.__main__ import table
from service.metrics.calls import CallMetrics
from service.metrics.catalogue import ALL, Kind, Metric
from service.metrics.exposition import collect_all
from service.metrics.process import LoopLag
from service.models import Models


def test_every_metric_is_in_a_group_once():
    defined = [value for value in vars(catalogue).values() if isinstance(value, Metric)]
    assert len(ALL) == len(set(ALL)) == len(defined)
    assert set(ALL) == set(defined)
    assert len({metric.name for metric in ALL}) == len(ALL)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_names_tell_units_as_prometheus_has_them(metric: Metric):
    assert re.fullmatch("[a-z][a-z0-9_]+", metric.name)
    assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket"))
    assert (metric.unit == "s") == metric.name.endswith("_seconds")
    assert bool(metric.bounds) == (metric.kind is Kind.HISTOGRAM)
    assert list(metric.bounds) == sorted(set(metric.bounds))
    if metric.unit == "s" and metric.bounds:
        assert metric.bounds[0] == 50e-6


def test_a_registry_has_all_of_them_and_of_its_own_process():
    families = list(collect_all(Models(()), None, CallMetrics(), LoopLag()).collect())
    named = {family.name: family for family in families if not family.name.startswith("process_")}
    assert named.keys() == {metric.full_name for metric in ALL}
    for metric in ALL:
        found = named[metric.full_name]
        assert (found.type, found.documentation) == (metric.kind, metric.documentation)


def test_the_dashboard_is_what_the_list_gives():
    assert FILE.read_text() == text(), "python -m deploy.grafana writes it anew"
    for metric in ALL:
        assert f'"{metric.full_name}"' in text()


def test_the_page_has_the_table_that_the_list_gives():
    page = Path(__file__).parents[3] / "docs" / "metrics.md"
    assert table() in page.read_text(), "python -m service.metrics prints it"
