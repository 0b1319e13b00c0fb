"""What is exported: a trained model with its tokenizers and where it came from.

Two sources: a run folder of this project's training, or any function that builds a step model, with a checkpoint for
its weights. Knows nothing about graphs or bundles.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

import tokenizers

from bundle.manifest import SpecialTokens, Training
from bundle.tokenizer import Tokenizer
from training.models.step_model import SourceStepModel, StepModel
from training.run import load_run, load_weights, read_config

# Length of training sequences where nobody says otherwise.
USUAL_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Subject:
    """A model that may become a bundle.

    Attributes:
        model: with its weights, in evaluation mode, on the CPU.
        family: a word for people.
        tokenizer, source_tokenizer: files in the format of the `tokenizers` library.
        special_tokens: ids in the target vocabulary.
        training: where the weights came from.
        trained_length: tokens that the model saw at once in training.
        chat_template: how messages become a prompt, a file in Jinja, where there is one.
        opens_with_bos: whether a prompt given as text begins with `bos`.
        text: that took no part in training, or pairs of it, where there is some.
    """

    model: StepModel
    family: str
    tokenizer: Path
    source_tokenizer: Path | None
    special_tokens: SpecialTokens
    training: Training
    trained_length: int = USUAL_LENGTH
    chat_template: Path | None = None
    opens_with_bos: bool = True
    text: Path | None = None


@dataclass(frozen=True, slots=True)
class Builder:
    """A model from outside of this project: who builds it, and the files that belong to it.

    Attributes:
        function: "package.module:function"; called without arguments, returns a `StepModel`.
        checkpoint: its state dict, saved with `torch.save`.
        special: the tokenizer's names for padding, beginning and end of a sequence.
    """

    function: str
    checkpoint: Path
    tokenizer: Path
    source_tokenizer: Path | None = None
    special: tuple[str, str, str] = ("<pad>", "<bos>", "<eos>")


def from_run(path: Path) -> Subject:
    """Take what training left in the run folder `path`. Raises ValueError, one line."""
    run = load_run(path)
    length = read_config(path).train.get("sequence_length", USUAL_LENGTH)
    return Subject(
        model=run.model,
        family=run.family,
        tokenizer=run.tokenizer,
        source_tokenizer=run.source_tokenizer,
        special_tokens=run.special_tokens,
        training=run.summary,
        trained_length=length,
        chat_template=run.chat_template,
        opens_with_bos=run.opens_with_bos,
        text=run.held_out,
    )


def from_builder(builder: Builder) -> Subject:
    """Build a model and load its weights. Raises ValueError, one line."""
    model = _build(builder.function)
    load_weights(model, builder.checkpoint)
    special_tokens = _special_tokens(_tokenizer(builder.tokenizer, model.vocabulary_size), builder)
    if isinstance(model, SourceStepModel):
        _check_source(model, builder, special_tokens)
    elif builder.source_tokenizer is not None:
        raise ValueError(f"--source-tokenizer: {builder.function} takes no source")
    return Subject(
        model=model.eval(),
        family=type(model).__name__,
        tokenizer=builder.tokenizer,
        source_tokenizer=builder.source_tokenizer,
        special_tokens=special_tokens,
        training=Training(parameters=model.parameter_count, data="unknown"),
    )


def _build(function: str) -> StepModel:
    module, _, name = function.partition(":")
    try:
        build = getattr(importlib.import_module(module), name)
        model = build()
    except Exception as error:  # whatever the user's own code raises
        reason = next(iter(str(error).splitlines()), "")
        raise ValueError(f"{function}: {type(error).__name__}: {reason}") from error
    if not isinstance(model, StepModel):
        raise ValueError(f"{function}: returned {type(model).__name__}, not a StepModel")
    return model


def _check_source(model: SourceStepModel, builder: Builder, special_tokens: SpecialTokens) -> None:
    path = builder.source_tokenizer
    if path is None:
        raise ValueError(f"{builder.function}: takes a source; give its --source-tokenizer")
    end = _tokenizer(path, model.source_vocabulary_size).token_to_id(builder.special[-1])
    if end != special_tokens.eos:
        raise ValueError(
            f"{path}: {builder.special[-1]!r} has the id {end}, in the target vocabulary {special_tokens.eos}; "
            "a source ends with the same id"
        )


def _tokenizer(path: Path, vocabulary_size: int) -> tokenizers.Tokenizer:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        backend = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the library raises plain Exception
        raise ValueError(f"{path}: not a tokenizer: {error}") from None
    size = Tokenizer(backend).vocabulary_size
    if size > vocabulary_size:
        raise ValueError(f"{path}: has ids up to {size - 1}, the model's vocabulary is {vocabulary_size}")
    return backend


def _special_tokens(tokenizer: tokenizers.Tokenizer, builder: Builder) -> SpecialTokens:
    ids = {}
    for role, name in zip(("pad", "bos", "eos"), builder.special, strict=True):
        ids[role] = tokenizer.token_to_id(name)
        if ids[role] is None:
            raise ValueError(f"{builder.tokenizer}: has no token {name!r}; name the one that is {role} with --{role}")
    return SpecialTokens(**ids)
