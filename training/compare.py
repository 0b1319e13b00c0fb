"""python -m training compare: every language model on one corpus under one budget, as a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from training.command_line import build_parser, gather, settle
from training.comparison import Result, draw_comparison, write_table
from training.display import duration
from training.journal import read_journal
from training.series import Series, open_series
from training.settings import GradientMachine, LanguageData, LanguageOptimisation, Settings
from training.train import INTERRUPTED

TABLE = "compare.md"
PICTURE = "compare.png"

# Every family of language models, RNNs once for each activation, of sizes that learn something in a minute.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "naive": ("naive", {}),
    "ar": ("ar", {"width": 64}),
    "markov": ("markov", {}),
    "ngram": ("ngram", {}),
    "latent": ("latent", {}),
    "rnn sigmoid": ("rnn", {"width": 256, "activation": "sigmoid"}),
    "rnn tanh": ("rnn", {"width": 256, "activation": "tanh"}),
    "rnn relu": ("rnn", {"width": 256, "activation": "relu"}),
    "lstm": ("lstm", {"width": 256}),
    "gru": ("gru", {"width": 256}),
    "transformer-lm": ("transformer-lm", {"width": 128}),
}


class ComparisonSettings(Settings):
    """The budget and where the results go."""

    minutes_per_model: float = Field(1.0, gt=0, description="time to train each model; counting takes what it takes")
    batch_size: int = Field(16, ge=1, description="sequences in a step")
    sequence_length: int = Field(64, ge=2, description="tokens in a sequence")
    learning_rate: float = Field(3e-3, gt=0, description="of AdamW, at its peak, for every model")
    out: Path = Field(Path("docs"), description=f"folder for {TABLE} and {PICTURE}")
    runs: Path = Field(Path("runs/compare"), description="folder for the runs themselves")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the command line of `compare` asks for."""

    settings: ComparisonSettings
    data: LanguageData
    machine: GradientMachine


def read_comparison(arguments: Sequence[str]) -> Comparison:
    """Read the arguments behind the command's name. Raises ValueError, one line; exits for --help."""
    schema: dict[str, type[Settings]] = {
        "comparison": ComparisonSettings,
        "data": LanguageData,
        "machine": GradientMachine,
    }
    groups = {heading: settings.model_fields for heading, settings in schema.items()}
    parser = build_parser("python -m training compare", "Train every language model under one budget.", groups)
    values = gather(vars(parser.parse_args(arguments)), groups)
    return Comparison(settle(ComparisonSettings, values), settle(LanguageData, values), settle(GradientMachine, values))


def compare(comparison: Comparison) -> int:
    """Train all, write the table and the picture. Returns the exit code: 0, or 130 after Ctrl-C.

    Raises:
        ValueError: the data or a setting cannot be used; one line.
    """
    settings = comparison.settings
    settings.out.mkdir(parents=True, exist_ok=True)
    series = open_series(settings.runs, comparison.data, comparison.machine)
    train = LanguageOptimisation(
        minutes=settings.minutes_per_model,
        batch_size=settings.batch_size,
        sequence_length=settings.sequence_length,
        learning_rate=settings.learning_rate,
        warmup_steps=50,
        validate_every=1_000_000,
        validate_seconds=max(60 * settings.minutes_per_model / 15, 0.5),
        checkpoint_every=1_000_000,
        validation_tokens=30_000,
    )
    # All are made before the first is trained: a setting that does not fit one of them is told at once.
    members = {
        name: series.assemble(name.replace(" ", "-"), family, model, train)
        for name, (family, model) in VARIANTS.items()
    }
    trained = sum(isinstance(member.order.train, LanguageOptimisation) for member in members.values())
    whole = duration(60 * settings.minutes_per_model * trained)
    series.display.say(f"{len(members)} models, {trained} of them by gradient: about {whole} and a little for the rest")
    results = []
    for number, (name, member) in enumerate(members.items(), start=1):
        series.display.say(f"{number}/{len(members)} {name}, {member.assembly.model.parameter_count:,} parameters")
        if series.fit(member) == INTERRUPTED:
            return INTERRUPTED
        results.append(Result(name, member.assembly.model.parameter_count, read_journal(member.order.folder)))
    write_table(results, settings.out / TABLE, _heading(comparison, series))
    draw_comparison(results, settings.out / PICTURE, f"Language models on {series.texts.name}")
    series.display.say(f"{settings.out / TABLE} and {settings.out / PICTURE} are written")
    return 0


def _heading(comparison: Comparison, series: Series) -> str:
    settings = comparison.settings
    budget = duration(60 * settings.minutes_per_model)
    return (
        f"# Every language model under one budget\n\n"
        f"{budget} of training each (the counting models take what they take) on {series.texts.name}: "
        f"{len(series.dataset.training):,} tokens, vocabulary {series.tokenizer.get_vocab_size():,}. "
        f"{torch.get_num_threads()} CPU thread(s), batches of {settings.batch_size} × {settings.sequence_length} "
        f"tokens, widths up to 256. Made by `python -m training compare`.\n\n"
        f"![Validation loss against time and against parameters]({PICTURE})\n"
    )
