"""What a person sees while a model trains: a progress bar with loss, tokens/s and time left, and a line now and then.

Where standard output is no terminal there are only the lines. Knows nothing about training.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from training.journal import Record

_UNITS = ((3600, "h"), (60, "min"), (1, "s"))


class Display:
    """The screen of one run; a process that is not the first of its group passes `enabled=False` and shows nothing."""

    def __init__(self, *, enabled: bool = True) -> None:
        self._console = Console(highlight=False, soft_wrap=True, quiet=not enabled)
        self._bar = Progress(
            TextColumn("{task.fields[position]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %  loss {task.fields[loss]}  {task.fields[speed]} tokens/s"),
            TextColumn("{task.fields[left]} left"),
            console=self._console,
            disable=not (enabled and self._console.is_terminal),
            transient=True,
        )
        self._task = self._bar.add_task("", total=1.0, position="", loss="–", speed="–", left="–")

    def say(self, line: str) -> None:
        """Print one line."""
        self._console.print(line, markup=False)

    def advance(self, step: int, progress: float, seconds_left: float, latest: Record) -> None:
        """Move the bar: `progress` is the share of the budget that is spent."""
        self._bar.update(
            self._task,
            completed=progress,
            position=f"step {step:,}",
            loss=f"{latest['training_loss']:.3f}",
            speed=f"{latest['tokens_per_second']:,.0f}",
            left=duration(seconds_left),
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


def duration(seconds: float) -> str:
    """Write a time with its two largest units, like "1 min 40 s"."""
    seconds = max(round(seconds), 0)
    parts: list[str] = []
    for size, unit in _UNITS:
        amount, seconds = divmod(seconds, size)
        if amount or (unit == "s" and not parts):
            parts.append(f"{amount} {unit}")
    return " ".join(parts[:2])


def describe(metrics: Record) -> str:
    """Write what a validation measured on one line."""
    written = [f"{_LABELS[name].format(value)}" for name, value in metrics.items() if name in _LABELS]
    return ", ".join(written)


_LABELS = {
    "validation_loss": "validation {:.3f} nats/token",
    "perplexity": "perplexity {:.1f}",
    "bits_per_byte": "{:.2f} bits/byte",
    "exact_match": "exact match {:.1%}",
    "chrf": "chrF {:.1f}",
    "bleu": "BLEU {:.1f}",
}
