"""A run on disk: the folder that training writes and export reads.

    config.json      family, model, data, train, special_tokens: everything to build the model again
    tokenizer.json   [source_tokenizer.json, chat_template.jinja]
    weights.pt       state dict with the best validation loss
    summary.json     size, data and metrics, as they go into a bundle's manifest
    metrics.jsonl, TensorBoard events, curves.png, [checkpoint.pt]
    held_out.txt         some of the text that took no part in training; held_out.tsv: all such pairs

Knows nothing about how a model is trained.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from bundle.folder import CHAT_TEMPLATE, SOURCE_TOKENIZER, TOKENIZER
from bundle.manifest import SpecialTokens, Training
from training.atomic import replacing
from training.checkpoint import CHECKPOINT
from training.journal import METRICS
from training.models.config import LanguageConfig
from training.models.families import FAMILIES
from training.models.step_model import StepModel
from training.tokenization import SPECIAL_TOKENS

CONFIG = "config.json"
WEIGHTS = "weights.pt"
SUMMARY = "summary.json"
CURVES = "curves.png"
HELD_OUT_PAIRS = "held_out.tsv"
HELD_OUT_TEXT = "held_out.txt"
Model = TypeVar("Model", bound=BaseModel)

_OURS = frozenset(
    {CONFIG, WEIGHTS, SUMMARY, CURVES, HELD_OUT_PAIRS, HELD_OUT_TEXT, METRICS, CHECKPOINT}
    | {TOKENIZER, SOURCE_TOKENIZER, CHAT_TEMPLATE},
)


class RunConfig(BaseModel):
    """config.json. `data` and `train` are for people and for --resume."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str
    model: dict[str, Any]
    data: dict[str, Any]
    train: dict[str, Any]
    special_tokens: SpecialTokens = SPECIAL_TOKENS
    opens_with_bos: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """A trained model with all that belongs to it.

    Attributes:
        path: the run folder.
        model: with its weights, in evaluation mode, on the CPU.
        family: its name in `FAMILIES`.
        config: the family's own config.
        tokenizer: tokenizer.json.
        source_tokenizer: source_tokenizer.json of an encoder-decoder.
        chat_template: chat_template.jinja, where there is one.
        special_tokens: ids in the target vocabulary.
        opens_with_bos: whether a prompt given as text begins with `bos`.
        summary: where the weights came from.
        held_out: text (pairs, for an encoder-decoder) that took no part in training, where it was kept.
    """

    path: Path
    model: StepModel
    family: str
    config: LanguageConfig
    tokenizer: Path
    source_tokenizer: Path | None
    chat_template: Path | None
    special_tokens: SpecialTokens
    opens_with_bos: bool
    summary: Training
    held_out: Path | None = None


def load_run(path: Path) -> Run:
    """Load a trained model.

    Raises:
        ValueError: a file is missing or does not fit; one line that names the file.
    """
    config = read_config(path)
    family = FAMILIES[config.family]
    try:
        model_config = family.config.model_validate(config.model)
    except ValidationError as error:
        raise ValueError(f"{path / CONFIG}: model: {first_error(error)}") from None
    model = family.build(model_config)
    load_weights(model, path / WEIGHTS)
    source_tokenizer = _existing(path / SOURCE_TOKENIZER) if family.task == "pairs" else None
    held_out = path / (HELD_OUT_PAIRS if family.task == "pairs" else HELD_OUT_TEXT)
    return Run(
        path=path,
        model=model.eval(),
        family=config.family,
        config=model_config,
        tokenizer=_existing(path / TOKENIZER),
        source_tokenizer=source_tokenizer,
        chat_template=path / CHAT_TEMPLATE if (path / CHAT_TEMPLATE).is_file() else None,
        special_tokens=config.special_tokens,
        opens_with_bos=config.opens_with_bos,
        summary=_read(path / SUMMARY, Training),
        held_out=held_out if held_out.is_file() else None,
    )


def read_config(path: Path) -> RunConfig:
    """Read config.json of the run folder `path`. Raises ValueError, one line."""
    if not path.is_dir():
        raise ValueError(f"{path}: no such run folder")
    config = _read(path / CONFIG, RunConfig)
    if config.family not in FAMILIES:
        raise ValueError(f"{path / CONFIG}: family {config.family!r} is none of {', '.join(FAMILIES)}")
    return config


def open_folder(path: Path, *, overwrite: bool) -> None:
    """Make `path` an empty run folder.

    Raises:
        ValueError: a run is there already and `overwrite` is not given, or the folder holds what is not a run's.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(f"--out: {path} is a file, not a folder")
    files = list(path.iterdir()) if path.is_dir() else []
    if foreign := sorted(file.name for file in files if not _is_ours(file) and not file.name.startswith(".")):
        raise ValueError(f"--out: {path} holds {foreign[0]}, which is not part of a run; choose another folder")
    if (path / CONFIG).exists() and not overwrite:
        raise ValueError(f"--out: {path} holds a run; continue it with --resume {path} or replace it with --overwrite")
    for file in filter(_is_ours, files):
        file.unlink()
    path.mkdir(parents=True, exist_ok=True)


def write_json(path: Path, content: BaseModel) -> None:
    """Write a model as indented JSON, at once or not at all."""
    with replacing(path) as file:
        file.write((json.dumps(content.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n").encode())


def save_result(folder: Path, model: StepModel, data: str, data_sha256: str, metrics: Mapping[str, float]) -> None:
    """Write weights.pt and summary.json of a model that is whole, each at once or not at all."""
    save_weights(folder, model.state_dict(), data, data_sha256, metrics)


def save_weights(
    folder: Path, weights: Mapping[str, Tensor], data: str, data_sha256: str, metrics: Mapping[str, float]
) -> None:
    """Write them of a state dict, as gathered from shards."""
    with replacing(folder / WEIGHTS) as file:
        torch.save({name: tensor.detach().cpu() for name, tensor in weights.items()}, file)
    parameters = sum(tensor.numel() for tensor in weights.values())
    summary = Training(parameters=parameters, data=data, data_sha256=data_sha256, metrics=dict(metrics))
    write_json(folder / SUMMARY, summary)


def load_weights(model: StepModel, path: Path) -> None:
    """Load weights.pt into `model`. Raises ValueError, one line, if they are not its own."""
    try:
        model.load_state_dict(read_weights(path))
    except (RuntimeError, AttributeError, TypeError) as error:
        raise _not_its_own(path, error) from None


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read weights.pt onto the CPU. Raises ValueError, one line, if it holds none."""
    _existing(path)
    try:
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, AttributeError, TypeError, pickle.UnpicklingError) as error:
        raise _not_its_own(path, error) from None
    return weights


def _not_its_own(path: Path, error: BaseException) -> ValueError:
    line = str(error).strip().splitlines()
    return ValueError(f"{path}: not the weights of this model: {line[0] if line else type(error).__name__}")


def first_error(error: ValidationError) -> str:
    """Return the first thing that is wrong as one line: field, what is wrong, what was given."""
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    given = "" if first["type"] in ("missing", "value_error") else f" ({first['input']!r} given)"
    return f"{field}: {message}{given}" if field else message


def _is_ours(file: Path) -> bool:
    return file.is_file() and (
        file.name in _OURS or file.name.startswith("events.out.tfevents.") or file.name.endswith(".tmp")
    )


def _read(path: Path, schema: type[Model]) -> Model:
    try:
        return schema.model_validate_json(_existing(path).read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path}: {first_error(error)}") from None


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    return path
