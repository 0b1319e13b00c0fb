"""The curves of a run as a picture, from its journal: loss, and what validation measured beside it."""

from __future__ import annotations

import math
from pathlib import Path

from matplotlib.axes import Axes

from training.journal import Record, read_journal
from training.style import COLOURS, picture

_SMALLEST = 1e-12


def draw_curves(folder: Path, path: Path, title: str) -> None:
    """Draw the journal of the run in `folder`: loss on the left, on the right exact match or bits per byte."""
    records = read_journal(folder)
    decoded = any("exact_match" in record for record in records)
    with picture(path, 2, title) as (left, right):
        _draw_loss(left, records)
        if decoded:
            _draw_validation(right, records, "exact_match", "Held-out pairs decoded exactly")
            right.set(ylabel="exact match", ylim=(-0.02, 1.02))
            right.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        else:
            _draw_validation(right, records, "bits_per_byte", "Validation, per byte of text")
            right.set(ylabel="bits per byte")


def _draw_loss(axes: Axes, records: list[Record]) -> None:
    steps, losses = _series(records, "training_loss")
    axes.plot(steps, losses, color=COLOURS[0], alpha=0.25, linewidth=1)
    axes.plot(steps, _smoothed(losses), color=COLOURS[0], label="training, smoothed")
    _, validation = _series(records, "validation_loss")
    axes.plot(*_series(records, "validation_loss"), "o-", color=COLOURS[1], markersize=4, label="validation")
    axes.set(title="Loss", xlabel="step", ylabel="nats per token")
    if len(validation) and min(validation) < max(losses, default=1.0) / 20:
        axes.set_yscale("log")
    axes.legend()


def _draw_validation(axes: Axes, records: list[Record], name: str, title: str) -> None:
    steps, values = _series(records, name)
    axes.plot(steps, values, "o-", color=COLOURS[1], markersize=4)
    if values:
        title += f": {max(values):.1%} at best" if name == "exact_match" else f": {min(values):.3f} at best"
    axes.set(title=title, xlabel="step")


def _series(records: list[Record], name: str) -> tuple[list[float], list[float]]:
    found = [(record["step"], record[name]) for record in records if name in record]
    return [step for step, _ in found], [value for _, value in found]


def _smoothed(values: list[float]) -> list[float]:
    """Return the exponential moving average of the logarithms, without the bias of its beginning.

    Losses fall by factors, and of those the geometric mean is the middle. (Kingma and Ba 2015, section 3.)
    """
    weight = 1 / min(max(len(values) / 15, 1), 10)  # of the newest: about a fifteenth of the picture's width
    average, smoothed = 0.0, []
    for index, value in enumerate(values, start=1):
        average += weight * (math.log(max(value, _SMALLEST)) - average)
        smoothed.append(math.exp(average / (1 - (1 - weight) ** index)) if weight < 1 else value)
    return smoothed
