"""A model and the data it is fitted to, sized for each other.

Knows nothing about how a model is fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import ValidationError
from tokenizers import Tokenizer

from training.batches import PairBatches, WindowBatches
from training.corpus import excerpt
from training.dataset import LanguageDataset, PairTexts, Texts, encode_pairs
from training.fit import FitData
from training.models.config import LanguageConfig
from training.models.families import FAMILIES
from training.models.step_model import SourceStepModel, StepModel
from training.order import Order
from training.run import first_error
from training.settings import Counting, LanguageOptimisation, PairsOptimisation
from training.validation import LanguageValidation, PairsValidation


@dataclass(frozen=True, slots=True)
class Assembly:
    """What is fitted to what.

    Attributes:
        model: untrained, seeded.
        config: with the true vocabulary sizes.
        data: as batches.
        dataset: of a language model, as streams.
        notes: what a person should know about the data, a line each.
        held_out: (source, target) texts that validation decodes; empty for a language model.
        excerpt: of a language model's validation text.
    """

    model: StepModel
    config: LanguageConfig
    data: FitData
    dataset: LanguageDataset | None = None
    notes: tuple[str, ...] = ()
    held_out: tuple[tuple[str, str], ...] = ()
    excerpt: str = ""


def assemble_language(order: Order, texts: Texts, tokenizer: Tokenizer, dataset: LanguageDataset) -> Assembly:
    """Make the model of `order` and its batches. Raises ValueError where they do not fit each other."""
    train = order.train
    assert isinstance(train, LanguageOptimisation | Counting)
    config, model = _build(order, {"vocabulary_size": tokenizer.get_vocab_size()})
    limit = model.context_limit
    if limit is not None and train.sequence_length > limit:
        raise ValueError(f"--sequence-length: {train.sequence_length} is more than the model's --context-limit {limit}")
    batches = WindowBatches(
        dataset.training,
        dataset.validation,
        batch_size=train.batch_size if isinstance(train, LanguageOptimisation) else 32,
        length=train.sequence_length,
        validation_tokens=train.validation_tokens,
        seed=order.machine.seed,
    )
    note = (
        f"data: {texts.name}; {len(dataset.training):,} tokens to train on, {len(dataset.validation):,} held out, "
        f"vocabulary {model.vocabulary_size:,}, {1 / dataset.tokens_per_byte:.2f} bytes/token"
    )
    data = FitData(batches, LanguageValidation(dataset.tokens_per_byte), texts.name, texts.sha256)
    return Assembly(model, config, data, dataset, (note, *texts.notes), excerpt=excerpt(texts.validation))


def assemble_pairs(order: Order, texts: PairTexts, source_tokenizer: Tokenizer, tokenizer: Tokenizer) -> Assembly:
    """Make the encoder-decoder of `order` and its batches. Raises ValueError where no pair fits it."""
    train = order.train
    assert isinstance(train, PairsOptimisation)
    sizes = {
        "vocabulary_size": tokenizer.get_vocab_size(),
        "source_vocabulary_size": source_tokenizer.get_vocab_size(),
    }
    config, model = _build(order, sizes)
    assert isinstance(model, SourceStepModel)
    dataset = encode_pairs(texts, source_tokenizer, tokenizer, model.source_limit, model.context_limit)
    batches = PairBatches(dataset.training, dataset.validation, train.batch_size, order.machine.seed)
    notes = [
        f"data: {texts.name}; {len(dataset.training):,} to train on, {len(dataset.validation):,} held out, "
        f"vocabularies {model.source_vocabulary_size:,} and {model.vocabulary_size:,}"
    ]
    if dataset.left_out:
        notes.append(f"{dataset.left_out:,} pairs are longer than the model's limits and were left out")
    validation = PairsValidation(dataset, tokenizer, train.decoded_pairs)
    data = FitData(batches, validation, texts.name, texts.sha256)
    return Assembly(model, config, data, notes=tuple(notes), held_out=tuple(texts.validation))


def _build(order: Order, sizes: dict[str, int]) -> tuple[LanguageConfig, StepModel]:
    family = FAMILIES[order.family]
    torch.manual_seed(order.machine.seed)
    try:
        config = family.config.model_validate(order.model.model_dump() | sizes)
    except ValidationError as error:
        raise ValueError(first_error(error)) from None
    return config, family.build(config)
