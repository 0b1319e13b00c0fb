"""Pictures of what models attend to and keep: heat maps over the pieces of a text. Needs matplotlib.

Knows nothing about calls: it draws the values of service/views.py.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names

from service.views import Activation, Activations, Attention, AttentionMap, Piece

Shown = TypeVar("Shown")

_INCHES_PER_PIECE, _LEAST_INCHES, _MOST_INCHES = 0.17, 1.7, 13.0
_INCHES_PER_UNIT, _MOST_UNIT_INCHES = 0.045, 2.2
_MOST_LABELS = 96
_DARK = 6.0  # times what each place has where all have the same
_MOST_WIDTH = 16.0
_MOST_PANELS = 64
# Each is asked for the characters that those before it have not.
_FONTS = ("DejaVu Sans", "Noto Sans CJK KR", "Noto Sans CJK JP", "NanumGothic", "Noto Sans Devanagari", "Noto Emoji")
_KINDS = {
    "encoder_self": "attention in the encoder",
    "decoder_self": "self-attention",
    "cross": "attention to the source",
}
_SHOWN = {" ": "␣", "\n": "⏎", "\t": "⇥", "": "·"}


def draw_attention(attention: Attention, path: Path) -> None:
    """Draw every map: those who attend from top to bottom, what they attend to from left to right.

    Raises ValueError where there are more maps than fit on a page.
    """
    maps = attention.maps
    rows = [[each for each in maps if (each.kind, each.layer) == row] for row in dict.fromkeys(map(_row, maps))]
    sizes = [(_inches(len(each.columns)), _inches(len(each.rows))) for each in maps]
    size = max((width for width, _ in sizes), default=0.0), max((height for _, height in sizes), default=0.0)
    _page(rows, _draw_map, size, attention.model, path)


def draw_activations(activations: Activations, path: Path) -> None:
    """Draw every activation: units from top to bottom, time from left to right.

    Raises ValueError where there are more than fit on a page.
    """
    found = activations.activations
    width = max((_inches(len(each.times)) for each in found), default=0.0)
    units = max((len(each.units) for each in found), default=0)
    size = width, min(_MOST_UNIT_INCHES, max(1.0, _INCHES_PER_UNIT * units))
    _page([[each] for each in found], _draw_activation, size, activations.model, path)


def _row(each: AttentionMap) -> tuple[str, int]:
    return each.kind, each.layer


def _inches(pieces: int) -> float:
    return min(_MOST_INCHES, max(_LEAST_INCHES, _INCHES_PER_PIECE * pieces))


def _page(
    rows: Sequence[Sequence[Shown]],
    draw: Callable[[Axes, Shown], None],
    size: tuple[float, float],
    title: str,
    path: Path,
) -> None:
    """Write a page to `path` on which each of `rows` is a line of panels of `size` inches. Raises ValueError."""
    columns, count = max(map(len, rows), default=0), sum(map(len, rows))
    if not 0 < count <= _MOST_PANELS:
        raise ValueError(f"{count} pictures; allowed on one page: 1 to {_MOST_PANELS}: choose fewer layers or heads")
    width, height = size
    scale = min(1.0, _MOST_WIDTH / (columns * (width + 0.6)))
    page = (max(3.0, scale * columns * (width + 0.6)), len(rows) * (scale * height + 0.75) + 0.3)
    with mpl.rc_context({"font.family": _fonts(), "font.size": 7.5, "axes.titlesize": 8.5}), _quiet():
        figure = Figure(figsize=page, layout="constrained", facecolor="white")
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for line, places in zip(rows, grid, strict=True):
            for each, axes in zip(line, places[: len(line)], strict=True):
                draw(axes, each)
            for spare in places[len(line) :]:
                spare.set_axis_off()
        figure.suptitle(title, fontsize=9, color="0.35")
        figure.savefig(path, dpi=150)


def _draw_map(axes: Axes, each: AttentionMap) -> None:
    # Where everything is looked at alike, nothing is dark.
    most = max(float(each.weights.max()), min(1.0, _DARK / len(each.columns)))
    axes.imshow(each.weights, cmap="Blues", vmin=0, vmax=most, aspect="auto", interpolation="nearest")
    _label(axes, "x", each.columns)
    _label(axes, "y", each.rows)
    head = "mean of heads" if each.head is None else f"head {each.head}"
    axes.set_title(f"{_KINDS[each.kind]}, layer {each.layer}, {head}")


def _draw_activation(axes: Axes, each: Activation) -> None:
    if each.kind == "gate":
        image = axes.imshow(each.values.T, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    else:
        most = max(float(abs(each.values).max()), 1e-6)
        image = axes.imshow(each.values.T, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    _label(axes, "x", each.times)
    axes.set_yticks([])
    axes.set_ylabel(f"{len(each.units)} of {each.total_units} units")
    axes.set_title(f"{each.name.replace('_', ' ')}, {each.part}, layer {each.layer}")
    assert axes.figure is not None
    axes.figure.colorbar(image, ax=axes, pad=0.01, fraction=0.03).outline.set_visible(False)


def _label(axes: Axes, side: Literal["x", "y"], pieces: Sequence[Piece]) -> None:
    """Write the pieces along an axis; of very many only some, and long ones on their side."""
    every = -(-len(pieces) // _MOST_LABELS)
    places = range(0, len(pieces), every)
    labels = [label(pieces[place]) for place in places]
    (axes.set_xticks if side == "x" else axes.set_yticks)(list(places), labels)
    axes.tick_params(axis=side, length=0, pad=2)
    if side == "x":
        for tick in axes.get_xticklabels():
            tick.set_rotation(0 if len(tick.get_text()) == 1 else 90)
    for spine in axes.spines.values():
        spine.set_color("0.75")


def label(piece: Piece) -> str:
    """Return what stands for a piece on an axis: its characters, spaces made visible, or a special token's name."""
    # A dollar would begin a formula.
    text = piece.name
    return _SHOWN.get(text) or text.replace("\n", "⏎").replace("\t", "⇥").replace("$", r"\$")


def _fonts() -> list[str]:
    there = set(get_font_names())
    return [font for font in _FONTS if font in there] or ["sans-serif"]


@contextmanager
def _quiet() -> Iterator[None]:
    """A character that no font has is drawn as a box, and nothing is said about it."""
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*missing from font", category=UserWarning)
            yield
    finally:
        logger.setLevel(level)
