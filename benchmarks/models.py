"""The models that are measured: untrained, of the sizes that the figures speak of, exported like any other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from bundle.manifest import Training
from export.subject import Subject
from export.write import Target, write_bundle
from training.corpus import read_corpus
from training.models.families import FAMILIES
from training.tokenization import SPECIAL_TOKENS, load_tokenizer, train_tokenizer

VOCABULARY = 2048

# name: (family, config without vocabularies)
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "gru": ("gru", {"width": 512}),
    "lstm": ("lstm", {"width": 512}),
    "transformer-lm": ("transformer-lm", {"width": 256, "layers": 6, "heads": 4, "kv_heads": 2, "context_limit": 1024}),
    "transformer": ("transformer", {"width": 256, "layers": 3, "heads": 8, "context_limit": 512, "source_limit": 128}),
    "markov": ("markov", {}),
}
# Of 0.5 GB: what takes long to open and to free.
LARGE: dict[str, tuple[str, dict[str, int | str]]] = {
    "large": (
        "transformer-lm",
        {"width": 1024, "layers": 10, "heads": 16, "kv_heads": 4, "context_limit": 512},
    ),
}


def prepare(
    folder: Path,
    names: Iterable[str] | None = None,
    known: Mapping[str, tuple[str, dict[str, Any]]] = MODELS,
    vocabulary: int = VOCABULARY,
) -> Path:
    """Export those of `names`, by default all that are known, that are not there yet; return the folder of models.

    known: family and config of each name. vocabulary: of the tokenizer, where it is not there yet.
    """
    models = folder / "models"
    tokenizer = folder / "tokenizer.json"
    folder.mkdir(parents=True, exist_ok=True)
    if not tokenizer.exists():
        train_tokenizer("bpe", read_corpus("stdlib").documents, vocabulary).save(str(tokenizer))
    console = Console(stderr=True)
    for name in known if names is None else names:
        if not (models / name / "1").exists():
            with console.status(f"exporting {name}"):
                write_bundle(_subject(*known[name], tokenizer), Target(models, name, 1))
    return models


def _subject(family_name: str, sizes: dict[str, Any], tokenizer: Path) -> Subject:
    family = FAMILIES[family_name]
    size = load_tokenizer(tokenizer).get_vocab_size()
    config = {**sizes, "vocabulary_size": size}
    pairs = family.task == "pairs"
    if pairs:
        config["source_vocabulary_size"] = size
    torch.manual_seed(0)
    model = family.build(config).eval()
    return Subject(
        model=model,
        family=family_name,
        tokenizer=tokenizer,
        source_tokenizer=tokenizer if pairs else None,
        special_tokens=SPECIAL_TOKENS,
        training=Training(parameters=model.parameter_count, data="none: untrained weights"),
    )
