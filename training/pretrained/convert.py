"""From a checkpoint to one of our models with its weights. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tokenizers
from pydantic import ValidationError
from torch import Tensor

from bundle.manifest import SpecialTokens
from training.models.families import FAMILIES
from training.models.step_model import StepModel
from training.pretrained.architecture import BOOKKEEPING, Architecture
from training.pretrained.checkpoint import CONFIG, Checkpoint
from training.pretrained.gpt2 import GPT2
from training.pretrained.llama import LLAMA, QWEN2, QWEN3
from training.pretrained.marian import MARIAN
from training.run import first_error

# By `model_type` of config.json.
ARCHITECTURES = {
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
    "gpt2": GPT2,
    "marian": MARIAN,
}


@dataclass(frozen=True, slots=True)
class Converted:
    """A checkpoint in our terms.

    Attributes:
        family, config: which of our models it is.
        model: with its weights.
        special_tokens: ids in the target vocabulary.
        opens_with_bos: whether a prompt begins with `bos`.
    """

    family: str
    config: dict[str, Any]
    model: StepModel
    special_tokens: SpecialTokens
    opens_with_bos: bool


def convert(checkpoint: Checkpoint, limit: int | None) -> Converted:
    """Make the model of `checkpoint`, for at most `limit` tokens a row.

    Raises:
        ValueError: an architecture, a field or a tensor that is not supported or is missing; one line that names it.
    """
    kind = checkpoint.config.get("model_type")
    if kind not in ARCHITECTURES:
        raise ValueError(f"{checkpoint.path}: {CONFIG}: model_type: {kind!r} is none of {', '.join(ARCHITECTURES)}")
    architecture = ARCHITECTURES[kind]
    config = _describe(architecture, checkpoint, limit)
    family = FAMILIES[architecture.family]
    model = family.build(config)
    _fill(model, architecture, checkpoint, config)
    special_tokens, opens_with_bos = _special_tokens(checkpoint, decodes=family.task == "pairs")
    settled = family.config.model_validate(config).model_dump(mode="json")
    return Converted(architecture.family, settled, model.eval(), special_tokens, opens_with_bos)


def _describe(architecture: Architecture, checkpoint: Checkpoint, limit: int | None) -> dict[str, Any]:
    fields = {name: value for name, value in checkpoint.config.items() if name not in BOOKKEEPING and name[0] != "_"}
    try:
        return architecture.describe(fields, limit)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "extra_forbidden":
            name = ".".join(map(str, first["loc"]))
            reason = f"{name}: {first['input']!r} given, which is not supported"
        else:
            reason = first_error(error)
        raise ValueError(f"{checkpoint.path}: {CONFIG}: {reason}") from None
    except ValueError as error:
        raise ValueError(f"{checkpoint.path}: {CONFIG}: {error}") from None


def _fill(model: StepModel, architecture: Architecture, checkpoint: Checkpoint, config: Mapping[str, Any]) -> None:
    unread = _Tensors(checkpoint.tensors)
    try:
        ours = dict(architecture.rename(unread, config))
    except KeyError as error:
        raise ValueError(f"{checkpoint.path}: the tensor {error.args[0]} is missing") from None
    tied = {"lm_head.weight"} if config["tied"] else set()
    left = sorted(name for name in unread.left - tied if not name.endswith(architecture.ignored))
    if left:
        raise ValueError(f"{checkpoint.path}: the tensor {left[0]} has no place in this architecture")
    try:
        model.load_state_dict({name: tensor.float().contiguous() for name, tensor in ours.items()}, assign=True)
    except RuntimeError as error:
        line = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"{checkpoint.path}: {line}") from None


class _Tensors(Mapping[str, Tensor]):
    """Tensors by name. left: names of those that nobody has asked for."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.left = set(tensors)
        self._tensors = tensors

    def __getitem__(self, name: str) -> Tensor:
        tensor = self._tensors[name]
        self.left.discard(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _special_tokens(checkpoint: Checkpoint, *, decodes: bool) -> tuple[SpecialTokens, bool]:
    """Return the special tokens, and whether the tokenizer's own template opens a text with `bos`."""
    tokenizer = tokenizers.Tokenizer.from_file(str(checkpoint.tokenizer))
    eos = _special(checkpoint, tokenizer, "eos")
    if eos is None:
        raise ValueError(f"{checkpoint.path}: neither tokenizer_config.json nor {CONFIG} says which token ends a text")
    pad = _special(checkpoint, tokenizer, "pad")
    bos = checkpoint.config.get("decoder_start_token_id") if decodes else _special(checkpoint, tokenizer, "bos")
    opened, plain = (tokenizer.encode("a", add_special_tokens=add).ids for add in (True, False))
    opens = decodes or (len(opened) > len(plain) and opened[0] != plain[0])
    if opens and not decodes:
        bos = opened[0]
    return SpecialTokens(pad=eos if pad is None else pad, bos=eos if bos is None else bos, eos=eos), opens


def _special(checkpoint: Checkpoint, tokenizer: tokenizers.Tokenizer, role: str) -> int | None:
    """Return the id of a special token: what the tokenizer says goes before what the model says.

    In a chat model the tokenizer's end is that of a turn, the model's often that of a document.
    """
    named = checkpoint.tokenizer_config.get(f"{role}_token")
    name = named.get("content") if isinstance(named, dict) else named
    if isinstance(name, str) and (found := tokenizer.token_to_id(name)) is not None:
        return int(found)
    given = checkpoint.config.get(f"{role}_token_id")
    given = given[0] if isinstance(given, list) and given else given
    return given if isinstance(given, int) else None
