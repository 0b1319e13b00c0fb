"""How the pictures of this project look. Knows nothing about what they show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.atomic import replacing

# Okabe and Ito 2008: told apart by colour-blind readers too.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#7F7F7F",
    "#882255",
    "#000000",
    "#66A61E",
    "#7570B3",
    "#A6761D",
)

_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#8a8a8a",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.labelsize": 10,
    "axes.titlepad": 10,
    "font.size": 9.5,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "xtick.color": "#4a4a4a",
    "ytick.color": "#4a4a4a",
}


@contextmanager
def picture(path: Path, panels: int, title: str) -> Iterator[list[Axes]]:
    """Draw `panels` panels side by side and write them to `path` as PNG when the block ends well."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.6 * panels, 4.3), dpi=140, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, fontsize=12.5)
        yield list(figure.subplots(1, panels, squeeze=False)[0])
        with replacing(path) as file:
            figure.savefig(file, format="png", facecolor="white")
