"""The plots of docs/performance.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from benchmarks.peers.catalogue import LANGUAGE, System
from benchmarks.peers.cells import Found
from benchmarks.peers.growth import ROWS
from benchmarks.peers.results import FAILED, Figures
from benchmarks.peers.summary import loss
from training.style import COLOURS, picture

# One colour a library, one mark a number of bits.
_MARKS = {32: "o", 8: "s", 4: "^"}
_LIBRARIES = ("seqstream", "llama.cpp", "onnxruntime-genai", "openvino-genai", "ctranslate2", "transformers")


def draw(found: Found, folder: Path) -> None:
    """Write performance.png, performance-context.png and performance-streams.png into `folder`, of what there is."""
    if "language-loss" in found:
        with picture(folder / "performance.png", 2, "SmolLM2-135M: speed and what it costs in perplexity") as axes:
            for one, streams, figure in ((axes[0], 1, "decode_tokens_per_second"), (axes[1], 32, "tokens_per_second")):
                _against_loss(found, one, f"language-{streams}", figure)
                one.set_title("1 stream" if streams == 1 else f"{streams} streams, prompts included")
            _legend(axes[1])
    growth = {name: one for name, one in found.get("growth", {}).items() if FAILED not in one}
    for file, names in _GROWTH_FILES.items():
        if all(name in growth for name in names):
            with picture(folder / file, len(names), "How cost grows") as axes:
                for one, name in zip(axes, names, strict=True):
                    _GROWTH[name](growth[name], one)


def _against_loss(found: Found, axes: Axes, case: str, figure: str) -> None:
    points = []
    for system in LANGUAGE:
        speed, lost = found.get(case, {}).get(system.name, {}).get(figure), loss(found, system.name)
        if speed is not None and lost is not None:
            points.append((system, float(speed), 100 * lost))
    for system, speed, lost in points:
        big = 110 if system.is_ours else 55
        axes.scatter(lost, speed, s=big, marker=_MARKS[system.bits], color=_colour(system), zorder=4 if big > 60 else 3)
    for named, style in ((True, "-"), (False, "--")):
        edge = _edge([(lost, speed) for system, speed, lost in points if system.is_ours == named])
        colour = COLOURS[0] if named else "#8a8a8a"
        if edge:
            axes.plot(*zip(*edge, strict=True), style, drawstyle="steps-post", color=colour, linewidth=1.2, zorder=2)
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set_xticks((0, 1, 10, 50), ("0", "1", "10", "50"))
    axes.set_xlim(left=min(-0.3, 1.2 * min((lost for *_, lost in points), default=0.0)), right=60)
    axes.set(xlabel="perplexity above that of the weights in float32 (%)", ylabel="tokens/s")
    axes.set_ylim(bottom=0)


def _edge(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the outer curve: the points that none beats in both ways, by rising loss."""
    edge: list[tuple[float, float]] = []
    for lost, speed in sorted(points, key=lambda one: (one[0], -one[1])):
        if not edge or speed > edge[-1][1]:
            edge.append((lost, speed))
    return edge


def _colour(system: System) -> str:
    return next(COLOURS[number] for number, name in enumerate(_LIBRARIES) if system.label.startswith(name))


def _legend(axes: Axes) -> None:
    for number, name in enumerate(_LIBRARIES):
        axes.scatter([], [], s=50, color=COLOURS[number], label=name)
    for bits, mark in _MARKS.items():
        axes.scatter([], [], s=50, color="#555555", marker=mark, label="fp32" if bits == 32 else f"{bits} bit")
    axes.plot([], [], color=COLOURS[0], linewidth=1.2, label="the best of ours")
    axes.plot([], [], "--", color="#8a8a8a", linewidth=1.2, label="the best of the peers'")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _context(figures: Figures, axes: Axes) -> None:
    x, seconds = np.array(figures["x"]), np.array(figures["seconds"])
    axes.plot(x, 1e3 * seconds, "o-", color=COLOURS[0], label=f"a step of {ROWS} rows")
    slope, fixed = np.polyfit(x, seconds, 1)
    rate = (figures["cache_bytes"][-1] - figures["cache_bytes"][0]) / (x[-1] - x[0]) / slope
    label = f"line: {1e3 * fixed:.1f} ms + cache at {rate / 1e9:.1f} GB/s"
    axes.plot(x, 1e3 * (fixed + slope * x), "--", color="#555555", label=label)
    axes.set(title="Context", xlabel="tokens held by every row", ylabel="ms a step")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)


def _streams(figures: Figures, axes: Axes) -> None:
    x, rates = figures["x"], figures["tokens_per_second"]
    axes.plot(x, [1e6 / rate for rate in rates], "o-", color=COLOURS[0])
    axes.set(title="Streams (GRU, served)", xlabel="streams at once", ylabel="µs a token", xscale="log", yscale="log")
    axes.set_xticks(x, [f"{one:,}" for one in x])
    _tick(axes)


def _vocabulary(figures: Figures, axes: Axes) -> None:
    x = figures["x"]
    axes.plot(x, [1e3 * one for one in figures["seconds"]], "o-", color=COLOURS[0], label=f"a step of {ROWS} rows")
    axes.set(title="Vocabulary (GRU)", xlabel="token ids", ylabel="ms a step", xscale="log", yscale="log")
    axes.set_xticks(x, [f"{one // 1000}k" for one in x])
    _tick(axes)


def _prompt(figures: Figures, axes: Axes) -> None:
    x = figures["x"]
    axes.plot(x, [1e3 * one for one in figures["seconds"]], "o-", color=COLOURS[0])
    axes.set(title="Prompt (served)", xlabel="tokens", ylabel="ms to the first token", xscale="log", yscale="log")
    axes.set_xticks(x, [f"{one:,}" for one in x])
    _tick(axes)


def _tick(axes: Axes) -> None:
    """Write numbers at 1, 2 and 5 of every power of ten of a logarithmic axis."""
    axes.minorticks_off()
    low, high = axes.get_ylim()
    ticks = [step * 10.0**power for power in range(-3, 7) for step in (1, 2, 5)]
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_yticks(shown, [f"{tick:,g}" for tick in shown])


_GROWTH: Mapping[str, Callable[[Figures, Axes], None]] = {
    "context": _context,
    "streams": _streams,
    "vocabulary": _vocabulary,
    "prompt": _prompt,
}
_GROWTH_FILES = {
    "performance-context.png": ("context", "prompt"),
    "performance-streams.png": ("streams", "vocabulary"),
}
