"""Several language models on one corpus: the data is prepared once, each model is trained into a folder of its own.

What `compare` and `gradients` have in common.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from tokenizers import Tokenizer

from bundle.folder import TOKENIZER
from training.assemble import Assembly, assemble_language
from training.dataset import LanguageDataset, Texts
from training.device import build_fabric
from training.display import Display
from training.models.families import FAMILIES
from training.order import Order
from training.prepare import prepare_language
from training.run import CONFIG, open_folder, write_json
from training.settings import Counting, GradientMachine, LanguageData, LanguageOptimisation
from training.train import fit_by_counting, fit_by_gradient


@dataclass(frozen=True, slots=True)
class Series:
    """A corpus ready for many models.

    Attributes:
        folder: holds the tokenizer, and a run folder for each model.
        data, machine: the settings that all share.
        texts, tokenizer, dataset: the corpus.
        fabric, display: where it computes and what a person sees.
    """

    folder: Path
    data: LanguageData
    machine: GradientMachine
    texts: Texts
    tokenizer: Tokenizer
    dataset: LanguageDataset
    fabric: Fabric
    display: Display

    def assemble(self, name: str, family: str, model: Mapping[str, Any], train: LanguageOptimisation) -> Member:
        """Make one model of the series: `family` with the config values `model`; counting models take no `train`."""
        entry = FAMILIES[family]
        counting = Counting(sequence_length=train.sequence_length, validation_tokens=train.validation_tokens)
        config = entry.config.model_validate({**model, "vocabulary_size": self.tokenizer.get_vocab_size()})
        how = counting if entry.fit == "counting" else train
        order = Order(family, config, self.data, how, self.machine, self.folder / name, overwrite=True)
        return Member(order, assemble_language(order, self.texts, self.tokenizer, self.dataset))

    def fit(self, member: Member) -> int:
        """Train a model of the series into its folder. Returns the exit code of its fit."""
        order, assembly = member.order, member.assembly
        open_folder(order.folder, overwrite=True)
        shutil.copyfile(self.folder / TOKENIZER, order.folder / TOKENIZER)
        write_json(order.folder / CONFIG, dataclasses.replace(order, model=assembly.config).config)
        if isinstance(order.train, Counting):
            return fit_by_counting(order, assembly, self.display)
        return fit_by_gradient(order, assembly, self.fabric, self.display)


@dataclass(frozen=True, slots=True)
class Member:
    """One model of a series, before or after its training."""

    order: Order
    assembly: Assembly


def open_series(folder: Path, data: LanguageData, machine: GradientMachine) -> Series:
    """Prepare the corpus in `folder`. Raises ValueError, one line."""
    fabric = build_fabric(machine)
    if fabric.world_size > 1:
        raise ValueError("--devices: this command trains one model after the other in one process")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TOKENIZER).unlink(missing_ok=True)
    display = Display()
    display.say("reading and tokenizing the data")
    texts, tokenizer, dataset = prepare_language(data, machine.seed, folder)
    return Series(folder, data, machine, texts, tokenizer, dataset, fabric, display)
