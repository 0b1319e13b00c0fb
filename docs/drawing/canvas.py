"""A sheet to draw boxes, operations and arrows on, in one look. Knows nothing about what they stand for.

Units are tenths of an inch; sheets are white with a thin frame, so that they read the same on light and on dark pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

from training.atomic import replacing

# What a thing is -> its fill and its edge: the colours of docs/flow.svg.
ROLES = {
    "token": ("#fff4e5", "#c77700"),
    "state": ("#f3f0fa", "#6a4fb3"),
    "layer": ("#e8f1fb", "#1f6feb"),
    "gate": ("#fdecef", "#c2255c"),
    "output": ("#eaf5ea", "#2e7d32"),
    "quiet": ("#f6f8fa", "#8c959f"),
}
_INK, _WEAK = "#24292f", "#57606a"
_STYLE: Any = {"svg.hashsalt": "seqstream", "svg.fonttype": "path", "font.size": 9, "mathtext.fontset": "dejavusans"}

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """Something on the sheet: its middle and its size."""

    x: float
    y: float
    width: float
    height: float

    def at(self, side: str) -> Point:
        """Return the middle of a side: "left", "right", "top" or "bottom"."""
        across = {"left": -0.5, "right": 0.5}.get(side, 0.0)
        up = {"bottom": -0.5, "top": 0.5}.get(side, 0.0)
        return self.x + across * self.width, self.y + up * self.height


class Canvas:
    """One picture. Coordinates go to the right and up."""

    def __init__(self, width: float, height: float) -> None:
        self._figure = Figure(figsize=(width / 10, height / 10))
        FigureCanvasSVG(self._figure)
        self._axes = self._figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self._axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
        self._axes.set_autoscale_on(False)
        self._axes.axis("off")
        frame = FancyBboxPatch((0.4, 0.4), width - 0.8, height - 0.8, "round,pad=0,rounding_size=1", linewidth=0.8)
        frame.set(facecolor="white", edgecolor="#d0d7de")
        self._axes.add_patch(frame)

    def box(self, middle: Point, size: Point, text: str, role: str = "layer", weak: bool = False) -> Shape:
        """Draw a box with words in it. weak: what does not count here."""
        (x, y), (width, height) = middle, size
        fill, edge = ROLES[role]
        patch = FancyBboxPatch((x - width / 2, y - height / 2), width, height, "round,pad=0,rounding_size=0.7")
        patch.set(facecolor=fill, edgecolor=edge, linewidth=1.2, alpha=0.35 if weak else 1.0)
        self._axes.add_patch(patch)
        self.write(middle, text, weak=weak)
        return Shape(x, y, width, height)

    def operation(self, middle: Point, text: str) -> Shape:
        """Draw a small circle with an operation's sign in it."""
        patch = Circle(middle, 1.15)
        patch.set(facecolor="white", edgecolor=_INK, linewidth=1.1, zorder=3)
        self._axes.add_patch(patch)
        self.write(middle, text, size=9)
        return Shape(*middle, 2.3, 2.3)

    def arrow(self, *points: Point, weak: bool = False, colour: str | None = None) -> None:
        """Draw a line through `points` that ends in a tip."""
        self.line(*points[:-1], points[-1], weak=weak, colour=colour)
        shade = colour or ("#b6bdc4" if weak else _INK)
        style = {"arrowstyle": "-|>,head_length=0.35,head_width=0.18", "color": shade, "linewidth": 1.1}
        self._axes.annotate("", points[-1], points[-2], arrowprops={**style, "shrinkA": 0, "shrinkB": 0}, zorder=2)

    def line(self, *points: Point, weak: bool = False, colour: str | None = None, width: float = 1.1) -> None:
        """Draw a line through `points`."""
        x, y = zip(*points, strict=True)
        self._axes.plot(x, y, color=colour or ("#b6bdc4" if weak else _INK), linewidth=width, zorder=1)

    def write(self, place: Point, text: str, *, size: float = 9, weak: bool = False, align: str = "center") -> None:
        """Write words or a formula ("$h_t$") around a place, or with `align` "left" or "right" of it."""
        colour = "#9aa1a9" if weak else _INK
        self._axes.text(*place, text, ha=align, va="center", fontsize=size, color=colour, zorder=4, linespacing=1.35)

    def note(self, place: Point, text: str, align: str = "left") -> None:
        """Write a remark, small and grey."""
        self._axes.text(*place, text, ha=align, va="center", fontsize=8, color=_WEAK, zorder=4, linespacing=1.35)

    def shade(self, corner: Point, size: Point, values: Sequence[Sequence[float]], colours: str) -> None:
        """Fill a rectangle with a grid of values of 0 to 1, the first row at the top."""
        (x, y), (width, height) = corner, size
        extent = (x, x + width, y, y + height)
        self._axes.imshow(values, colours, extent=extent, vmin=0, vmax=1, zorder=1, aspect="equal")
        self._axes.add_patch(Rectangle((x, y), width, height, facecolor="none", edgecolor="#d0d7de", linewidth=0.6))

    def frame(self, corner: Point, size: Point, words: str) -> None:
        """Draw a dashed frame around what belongs together, with words inside its upper left corner."""
        patch = Rectangle(corner, *size, facecolor="none", edgecolor="#8c959f", linewidth=0.9, linestyle=(0, (4, 3)))
        self._axes.add_patch(patch)
        self.note((corner[0] + 0.8, corner[1] + size[1] - 1.3), words)

    def save(self, path: Path) -> None:
        """Write the picture to `path` as SVG, the same bytes for the same picture."""
        with matplotlib.rc_context(_STYLE), replacing(path) as file:
            self._figure.savefig(file, format="svg", metadata={"Date": None}, transparent=True)
