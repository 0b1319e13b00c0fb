"""A checkpoint of somebody else's, as it lies on disk: configuration, tensors, tokenizer, chat template.

Two forms: a folder with config.json, *.safetensors and tokenizer.json, and a GGUF file, which the transformers library
reads. Knows nothing about architectures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
_TOKENIZER_CONFIG = "tokenizer_config.json"
_TEMPLATE = "chat_template.jinja"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint.

    Attributes:
        path: what it is called in messages.
        config: config.json.
        tensors: by name, in float32, on the CPU.
        tokenizer: the file, in the format of the tokenizers library.
        tokenizer_config: tokenizer_config.json, empty if there is none.
        chat_template: how messages become a prompt, in Jinja, if it says.
    """

    path: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    tokenizer: Path
    tokenizer_config: Mapping[str, Any]
    chat_template: str | None


@contextmanager
def open_checkpoint(path: Path) -> Iterator[Checkpoint]:
    """Read the checkpoint at `path`; its files are there until the block ends. Raises ValueError, one line."""
    if path.suffix == ".gguf" and path.is_file():
        with TemporaryDirectory() as folder:
            _unpack_gguf(path, Path(folder))
            yield _read_folder(path, Path(folder))
    elif path.is_dir():
        yield _read_folder(path, path)
    else:
        raise ValueError(f"{path}: neither a folder nor a .gguf file")


def _read_folder(name: Path, folder: Path) -> Checkpoint:
    tokenizer_config = _read_json(folder / _TOKENIZER_CONFIG) if (folder / _TOKENIZER_CONFIG).exists() else {}
    template = tokenizer_config.get("chat_template")
    if (folder / _TEMPLATE).exists():
        template = (folder / _TEMPLATE).read_text(encoding="utf-8")
    if not (folder / TOKENIZER).is_file():
        raise ValueError(f"{folder / TOKENIZER}: no such file; save the tokenizer in the fast format")
    return Checkpoint(
        path=name,
        config=_read_json(folder / CONFIG),
        tensors=_read_tensors(folder),
        tokenizer=folder / TOKENIZER,
        tokenizer_config=tokenizer_config,
        chat_template=template if isinstance(template, str) else None,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not a JSON object")
    return content


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{folder}: holds no .safetensors file; others, as pytorch_model.bin, are not read")
    tensors = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                tensors.update({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118 no dict
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: not readable: {error}") from None
    return tensors


def _unpack_gguf(path: Path, folder: Path) -> None:
    """Write what transformers makes of a GGUF file as a folder of the other form; quantised weights as float32."""
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ModuleNotFoundError:
        raise ValueError(f"{path}: reading GGUF needs the packages transformers, gguf and accelerate") from None
    try:
        model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    except (ValueError, OSError, ImportError) as error:
        raise ValueError(f"{path}: {next(iter(str(error).splitlines()), type(error).__name__)}") from None
    config = model.config.to_dict() | {"quantization_config": None}
    (folder / CONFIG).write_text(json.dumps(config, default=str), encoding="utf-8")
    tokenizer.save_pretrained(folder)
    _save_tensors(dict(model.state_dict()), folder / "model.safetensors")


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    # The format holds no two names for one memory: tied weights are written under both.
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, path)
