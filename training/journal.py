"""What a run measured, step by step: metrics.jsonl and TensorBoard events, and reading the former back.

A line of metrics.jsonl is an object with `step`, `seconds` since the start and some of: training_loss,
validation_loss (nats per token), perplexity, bits_per_byte, learning_rate, tokens_per_second, exact_match, chrf, bleu.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from torch.utils.tensorboard import SummaryWriter

from training.atomic import replacing

METRICS = "metrics.jsonl"
Record = dict[str, float]


class Journal:
    """Appends records to a run folder. A resumed run goes on at `step`: what was written beyond it is dropped."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        self._path = folder / METRICS
        kept = [record for record in read_journal(folder) if record["step"] <= step] if step else []
        with replacing(self._path) as file:
            file.writelines(_line(record).encode() for record in kept)
        self._file = self._path.open("a", encoding="utf-8")
        self._events = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def write(self, step: int, seconds: float, metrics: Mapping[str, float]) -> None:
        """Append one record."""
        self._file.write(_line({"step": step, "seconds": round(seconds, 3), **metrics}))
        self._file.flush()
        for name, value in metrics.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Write out what is still in memory."""
        self._file.close()
        self._events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_journal(folder: Path) -> list[Record]:
    """Return the records of a run, oldest first; an unfinished last line is left out."""
    path = folder / METRICS
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def _line(record: Mapping[str, float]) -> str:
    return json.dumps(record) + "\n"
