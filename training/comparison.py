"""What a comparison of models leaves behind: a table and a picture. Knows nothing about how the models were trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from training.atomic import replacing
from training.journal import Record
from training.style import COLOURS, picture

_LETTER, _LINE = 4.9, 11.0  # about the size of a name's letter, in points


@dataclass(frozen=True, slots=True)
class Result:
    """One trained model: what it is called, how large it is, and its journal."""

    name: str
    parameters: int
    journal: list[Record]

    @property
    def validations(self) -> list[Record]:
        return [record for record in self.journal if "validation_loss" in record]

    @property
    def best(self) -> Record:
        """The validation with the lowest loss."""
        return min(self.validations, key=lambda record: record["validation_loss"])

    @property
    def counted(self) -> bool:
        """Whether it was fitted in no steps at all."""
        return self.journal[-1]["step"] == 0

    @property
    def speed(self) -> float:
        """Tokens per second while training or counting, the median of what was logged."""
        return float(
            np.median([record["tokens_per_second"] for record in self.journal if "tokens_per_second" in record])
        )


def write_table(results: Sequence[Result], path: Path, heading: str) -> None:
    """Write `heading` and a Markdown table of the results, the lowest loss first."""
    lines = [
        heading,
        "| model | parameters | steps | seconds | tokens/s | nats/token | perplexity | bits/byte |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for result in sorted(results, key=lambda result: result.best["validation_loss"]):
        best, last = result.best, result.journal[-1]
        steps = "counted" if result.counted else f"{last['step']:,.0f}"
        lines.append(
            f"| {result.name} | {result.parameters:,} | {steps} | {last['seconds']:.0f} | {result.speed:,.0f} "
            f"| {best['validation_loss']:.3f} | {best['perplexity']:.1f} | {best['bits_per_byte']:.3f} |"
        )
    lines += ["", "Loss, perplexity and bits per byte are those of held-out documents.", ""]
    with replacing(path) as file:
        file.write("\n".join(lines).encode())


def draw_comparison(results: Sequence[Result], path: Path, title: str) -> None:
    """Draw validation loss against time on the left and against the number of parameters on the right."""
    ranked = sorted(results, key=lambda result: result.best["validation_loss"])
    colours = {result.name: COLOURS[index % len(COLOURS)] for index, result in enumerate(results)}
    with picture(path, 2, title) as (by_time, by_size):
        for result in ranked:
            _draw_course(by_time, result, colours[result.name])
            best = result.best["validation_loss"]
            marker = "D" if result.counted else "o"
            by_size.plot(result.parameters, best, marker, color=colours[result.name], markersize=7)
        # What the models reach sets the scale; their first seconds are far above.
        top = max(result.best["validation_loss"] for result in results)
        low = ranked[0].best["validation_loss"]
        by_time.set(ylim=(low - 0.1 * (top - low) - 0.05, top + 0.35 * (top - low) + 0.05))
        by_time.set(title="Against time", xlabel="seconds of training", ylabel="validation loss, nats per token")
        by_time.legend(fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
        by_size.set(title="Against size", xlabel="parameters (tables for those that count: ◆)", xscale="log")
        by_size.set(ylabel="best validation loss, nats per token")
        _label(by_size, ranked)


def _draw_course(axes: Axes, result: Result, colour: str) -> None:
    seconds = [record["seconds"] for record in result.validations]
    losses = [record["validation_loss"] for record in result.validations]
    if result.counted:
        axes.plot(seconds, losses, "D", color=colour, markersize=7, label=result.name)
        axes.axhline(losses[-1], color=colour, linewidth=1, linestyle=":")
    else:
        axes.plot(seconds, losses, "o-", color=colour, markersize=3, label=result.name)


def _label(axes: Axes, ranked: Sequence[Result]) -> None:
    """Name the points, each beside its own where no other point and no other name is."""
    axes.margins(x=0.35, y=0.08)
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # only now is it known where the points lie
    in_points = 72 / figure.dpi
    points = {result.name: (result.parameters, result.best["validation_loss"]) for result in ranked}
    places = {name: axes.transData.transform(point) * in_points for name, point in points.items()}
    taken = [Bbox.from_extents(x - 5, y - 5, x + 5, y + 5) for x, y in places.values()]
    for name, (x, y) in places.items():
        width = _LETTER * len(name)
        corners = [(9.0, 0.0), (-9 - width, 0.0), (-width / 2, _LINE), (-width / 2, -_LINE)]
        corners += [(side, shift) for shift in (_LINE, -_LINE, 2 * _LINE) for side in (9.0, -9 - width)]
        boxes = [Bbox.from_bounds(x + right, y + up - _LINE / 2, width, _LINE) for right, up in corners]
        box = next((box for box in boxes if not any(box.overlaps(other) for other in taken)), boxes[0])
        taken.append(box)
        offset = (box.x0 - x, (box.y0 + box.y1) / 2 - y)
        axes.annotate(name, points[name], offset, textcoords="offset points", va="center", fontsize=8.5)
