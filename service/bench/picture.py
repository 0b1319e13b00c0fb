"""Throughput against latency, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from service.bench.summary import Summary

_PANELS = (("first token", "first_token"), ("per token", "per_token"))
_LINES = (("p50", "#4c78a8", "o"), ("p90", "#f58518", "s"), ("p99", "#e45756", "^"))

_NAMES = {"rate": "requests/s", "streams": "streams"}


def draw(summaries: Sequence[Summary], title: str, path: Path) -> None:
    """Write a picture of levels: tokens a second against times to the first and between tokens. Raises OSError."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11)
    for axes, (name, key) in zip(figure.subplots(1, 2), _PANELS, strict=True):
        _panel(axes, summaries, name, key)
    figure.savefig(path, dpi=120)


def _panel(axes: Axes, summaries: Sequence[Summary], name: str, key: str) -> None:
    shown = [one for one in summaries if getattr(one, key)]
    times = [1e3 * getattr(one, key)[place] for one in shown for place, _, _ in _LINES]
    axes.set_xlim(0.0, 1.1 * max((one.tokens_per_second for one in shown), default=1.0))
    if times and min(times) > 0.0:
        axes.set_yscale("log")
        axes.set_ylim(min(times) / 1.5, max(times) * 2.0)  # room for the loads above the points
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(_minor)
    for place, color, marker in _LINES:
        values = [1e3 * getattr(one, key)[place] for one in shown]
        axes.plot([one.tokens_per_second for one in shown], values, marker=marker, color=color, label=place)
    for one in shown:
        at = (one.tokens_per_second, 1e3 * getattr(one, key)["p99"])
        axes.annotate(f"{one.load:g}", at, xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xlabel(f"tokens/s; at the points: {_NAMES[summaries[0].kind]}")
    axes.set_ylabel(f"{name}, ms")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(frameon=False, loc="upper left")


def _minor(value: float, _: float) -> str:
    """Label 2 and 5 of every decade."""
    return f"{value:g}" if f"{value:.0e}"[0] in "25" else ""
