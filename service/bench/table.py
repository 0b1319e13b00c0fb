"""Figures of levels as tables on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from service.bench.summary import PERCENTILES, Summary

_ROWS = (
    ("first token", "first_token"),
    ("per token", "per_token"),
    ("between messages", "between_messages"),
    ("queue", "queue"),
    ("whole answer", "whole"),
)


def show(summaries: Sequence[Summary], console: Console) -> None:
    """Print two tables: what came through, and how long it took."""
    console.print(_through(summaries))
    console.print()
    console.print(_latencies(summaries))


def _table(left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False)
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right")
    return table


def _through(summaries: Sequence[Summary]) -> Table:
    judged = any(one.goodput is not None for one in summaries)
    names = ("requests/s", *(("good/s",) if judged else ()), "tokens/s", "requests", "errors", "client CPU")
    table = _table(("load",), names)
    for one in summaries:
        good = () if one.goodput is None else (f"{one.goodput:.2f}",)
        errors = sum(one.errors.values())
        table.add_row(
            label(one), f"{one.requests_per_second:.2f}", *good, f"{one.tokens_per_second:,.0f}",
            f"{one.requests:,}", f"{errors:,}", f"{one.client_cpu:.0%}",
        )  # fmt: skip
    return table


def _latencies(summaries: Sequence[Summary]) -> Table:
    table = _table(("load", "milliseconds"), [f"p{place:g}" for place in PERCENTILES])
    for one in summaries:
        for number, (name, key) in enumerate(_ROWS):
            if found := getattr(one, key):
                table.add_row("" if number else label(one), name, *(f"{1e3 * value:,.1f}" for value in found.values()))
        table.add_section()
    return table


def label(one: Summary) -> str:
    """Return what a level is called."""
    return f"{one.load:g} requests/s" if one.kind == "rate" else f"{one.load:g} streams"


def remarks(one: Summary) -> list[str]:
    """Return what has to be known about the figures of a level, a line each."""
    found = []
    if one.errors:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(one.errors.items()))
        found.append(f"{label(one)}: {sum(one.errors.values())} of {one.requests} requests failed: {counts}")
    if one.client_cpu > _BUSY:
        share = f"a process of the client used {one.client_cpu:.0%} of a core"
        found.append(f"{label(one)}: {share}: latencies may be its own; more --processes help where there are cores")
    if one.late > _LATE_SECONDS:
        found.append(f"{label(one)}: 1 of 100 requests was sent {1e3 * one.late:.0f} ms late or more; it is counted in")
    if one.requests < _FEW:
        found.append(f"{label(one)}: {one.requests} requests are few for the percentiles at the end")
    return found


_BUSY = 0.8
_LATE_SECONDS = 0.02
_FEW = 1000
