"""python -m training gradients: how far back in time recurrent networks learn, as one picture.

For each kind of recurrence the norm of the gradient of the loss at time T with respect to the state at time t, against
the lag T - t, at initialisation and after training: vanishing and exploding gradients (Bengio et al. 1994; Pascanu et
al. 2013) drawn on a logarithmic scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from training.batches import Batch, Share, WindowBatches
from training.command_line import build_parser, gather, settle
from training.display import duration
from training.lag import gradient_norms
from training.series import Series, open_series
from training.settings import GradientMachine, LanguageData, LanguageOptimisation, Settings
from training.style import COLOURS, picture
from training.train import INTERRUPTED

PICTURE = "gradients.png"
_BOTTOM, _TOP = 1e-10, 1e8

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "RNN, sigmoid": ("rnn", {"activation": "sigmoid"}),
    "RNN, tanh": ("rnn", {"activation": "tanh"}),
    "RNN, ReLU": ("rnn", {"activation": "relu"}),
    "RNN, ReLU, radius 1.7": ("rnn", {"activation": "relu", "recurrent_gain": 1.7}),
    "LSTM": ("lstm", {}),
    "GRU": ("gru", {}),
}


class GradientsSettings(Settings):
    """What is measured, and where the picture goes."""

    minutes: float = Field(0.4, gt=0, description="time to train each of the six models")
    width: int = Field(128, ge=1, description="of embeddings and states")
    lag: int = Field(100, ge=1, description="how many tokens to look back")
    rows: int = Field(64, ge=1, description="sequences to average over")
    learning_rate: float = Field(2e-3, gt=0, description="of AdamW, at its peak")
    out: Path = Field(Path("docs"), description=f"folder for {PICTURE}")
    runs: Path = Field(Path("runs/gradients"), description="folder for the runs themselves")


@dataclass(frozen=True, slots=True)
class Gradients:
    """What the command line of `gradients` asks for."""

    settings: GradientsSettings
    data: LanguageData
    machine: GradientMachine


def read_gradients(arguments: Sequence[str]) -> Gradients:
    """Read the arguments behind the command's name. Raises ValueError, one line; exits for --help."""
    schema: dict[str, type[Settings]] = {
        "gradients": GradientsSettings,
        "data": LanguageData,
        "machine": GradientMachine,
    }
    groups = {heading: settings.model_fields for heading, settings in schema.items()}
    parser = build_parser("python -m training gradients", "Draw gradients through time.", groups)
    values = gather(vars(parser.parse_args(arguments)), groups)
    return Gradients(settle(GradientsSettings, values), settle(LanguageData, values), settle(GradientMachine, values))


def gradients(order: Gradients) -> int:
    """Measure, train, measure again, draw. Returns the exit code: 0, or 130 after Ctrl-C.

    Raises:
        ValueError: the data or a setting cannot be used; one line.
    """
    settings = order.settings
    settings.out.mkdir(parents=True, exist_ok=True)
    series = open_series(settings.runs, order.data, order.machine)
    train = LanguageOptimisation(
        minutes=settings.minutes,
        learning_rate=settings.learning_rate,
        warmup_steps=50,
        validate_every=1_000_000,
        validate_seconds=max(60 * settings.minutes / 4, 0.5),
        checkpoint_every=1_000_000,
        validation_tokens=20_000,
    )
    series.display.say(f"{len(VARIANTS)} models, about {duration(60 * settings.minutes * len(VARIANTS))} in all")
    batch = _rows(series, settings)
    before, after = {}, {}
    for name, (family, model) in VARIANTS.items():
        member = series.assemble(_folder(name), family, {**model, "width": settings.width}, train)
        before[name] = gradient_norms(member.assembly.model, batch)
        series.display.say(f"{name}: {_reach(before[name])} at initialisation")
        if series.fit(member) == INTERRUPTED:
            return INTERRUPTED
        after[name] = gradient_norms(member.assembly.model, batch)
        series.display.say(f"{name}: {_reach(after[name])} after training")
    draw_gradients(before, after, settings.out / PICTURE)
    series.display.say(f"{settings.out / PICTURE} is written")
    return 0


def draw_gradients(before: dict[str, NDArray[np.float64]], after: dict[str, NDArray[np.float64]], path: Path) -> None:
    """Draw two panels of norms against the lag, relative to those at lag 1."""
    with picture(path, 2, "How much the loss at time T feels the state at time t") as panels:
        for axes, norms, title in zip(panels, (before, after), ("At initialisation", "After training"), strict=True):
            for colour, (name, values) in zip(COLOURS, norms.items(), strict=False):
                relative = values / values[0]
                visible = np.where(relative > 0, relative, np.nan)
                axes.plot(np.arange(1, len(values) + 1), visible, color=colour, label=name)
            axes.axhline(1.0, color="#8a8a8a", linewidth=1, linestyle="--")
            axes.set(title=title, xlabel="lag T − t, in tokens", yscale="log", ylim=(_BOTTOM, _TOP))
            axes.set(ylabel="‖∂ loss(T) / ∂ state(t)‖, relative to lag 1")
            axes.text(0.99, 0.97, "exploding", transform=axes.transAxes, ha="right", va="top", color="#8a8a8a")
            axes.text(0.99, 0.03, "vanishing", transform=axes.transAxes, ha="right", va="bottom", color="#8a8a8a")
        panels[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _rows(series: Series, settings: GradientsSettings) -> Batch:
    """Cut windows out of the validation text, one token longer than the lag."""
    stream = series.dataset.validation
    batches = WindowBatches(stream, stream, settings.rows, settings.lag + 1, len(stream), seed=series.machine.seed)
    return batches.training(0, Share())


def _reach(norms: NDArray[np.float64]) -> str:
    below = np.flatnonzero(norms < norms[0] / 100)
    return f"below 1 % after {below[0] + 1} tokens" if len(below) else f"{norms[-1] / norms[0]:.1%} after {len(norms)}"


def _folder(name: str) -> str:
    return name.lower().replace(",", "").replace(" ", "-")
