"""Everything a training by gradient needs to go on to the bit where it stopped, in one file that is always whole.

Random numbers need no place in it: every step draws them from (seed, step). Knows nothing about the loop.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training.atomic import replacing

CHECKPOINT = "checkpoint.pt"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a training after `step` steps.

    Attributes:
        step: steps done.
        seconds: time they took.
        best_loss: lowest validation loss so far, in nats per token.
        stale: validations since then.
        data_sha256: fingerprint of the data.
        model, optimizer, scaler: their state dicts; `scaler` is that of the loss in 16-mixed, empty otherwise.
    """

    step: int
    seconds: float
    best_loss: float
    stale: int
    data_sha256: str
    model: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint of a run folder, in place of the one before."""
    content = {name: getattr(checkpoint, name) for name in Checkpoint.__slots__}
    with replacing(folder / CHECKPOINT) as file:
        torch.save({"format": _FORMAT, **content}, file)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read the checkpoint of a run folder, its tensors on the CPU.

    Raises:
        ValueError: there is none, or it is not whole.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise ValueError(f"{path}: no such file, so there is nothing to resume")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.pop("format") != _FORMAT:
            raise ValueError(f"{path}: written by another version")
        return Checkpoint(**content)
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path}: not a checkpoint: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
