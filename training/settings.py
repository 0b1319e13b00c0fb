"""What a run is told beside its family's own config: data, optimisation, machine and folder.

Every field is a flag of the command line, an environment variable and a key of the configuration file. Data alone;
knows nothing about how any of it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from training.tokenization import TokenizerKind

Accelerator = Literal["auto", "cpu", "cuda", "mps"]
Strategy = Literal["auto", "ddp", "fsdp"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LanguageData(Settings):
    """The text of a language model."""

    data: str = Field("stdlib", description="text file, folder of text files, or stdlib: Python's own library source")
    tokenizer: TokenizerKind = Field("bpe", description="byte-level BPE, or one token for each character")
    vocabulary_size: int = Field(1024, ge=5, le=1_000_000, description="most token ids")
    validation_fraction: Fraction = Field(0.05, description="share of the text held out, by document")


class PairsData(Settings):
    """The pairs of an encoder-decoder."""

    pairs: str = Field("dates", description="file of lines source<TAB>target, or dates: 15 languages to ISO 8601")
    tokenizer: TokenizerKind = Field("characters", description="byte-level BPE, or one token for each character")
    vocabulary_size: int = Field(1024, ge=5, le=1_000_000, description="most token ids of source and of target")
    validation_fraction: Fraction = Field(0.03, description="share of the sources held out")


class Optimisation(Settings):
    """Training by gradient."""

    steps: Count | None = Field(None, description="optimizer steps to train; default 2000 unless --minutes is given")
    minutes: float | None = Field(None, gt=0, description="time to train; with --steps, whatever ends first")
    batch_size: Count = Field(16, description="sequences in a step, on all devices together")
    learning_rate: float = Field(2e-3, gt=0, description="of AdamW, at its peak")
    learning_rate_floor: float = Field(0.02, ge=0, le=1, description="where the cosine ends, as a share of the peak")
    warmup_steps: int = Field(100, ge=0, description="steps of linear warm-up")
    weight_decay: float = Field(0.01, ge=0, description="of matrices; never of embeddings, norms and biases")
    gradient_clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    validate_every: Count = Field(200, description="steps from one validation to the next")
    validate_seconds: float = Field(0.0, ge=0, description="validate also after so many seconds without; 0: never")
    checkpoint_every: Count = Field(200, description="steps from one checkpoint to the next")
    patience: int = Field(0, ge=0, description="stop after so many validations without a better loss; 0: never")

    @property
    def step_budget(self) -> int | None:
        """Steps to train, or None where time alone decides."""
        return self.steps if self.steps is not None or self.minutes is not None else 2000


class LanguageOptimisation(Optimisation):
    """Training a language model by gradient: random windows of the text."""

    sequence_length: int = Field(64, ge=2, le=1_048_576, description="tokens in a sequence")
    validation_tokens: Count = Field(50_000, description="most tokens a validation looks at")


class PairsOptimisation(Optimisation):
    """Training an encoder-decoder by gradient: batches of pairs of similar length."""

    batch_size: Count = Field(64, description="pairs in a step, on all devices together")
    decoded_pairs: Count = Field(200, description="held-out pairs decoded at each validation; at the end it is all")


class Counting(Settings):
    """Fitting by counting."""

    sequence_length: int = Field(64, ge=2, le=1_048_576, description="tokens in a sequence of the validation")
    validation_tokens: Count = Field(50_000, description="most tokens the validation looks at")


class Machine(Settings):
    """Where a run computes, and its random numbers."""

    seed: int = Field(0, ge=0, lt=2**32, description="of weights, data order, dropout and split")
    threads: int = Field(0, ge=0, description="CPU threads; 0: all cores, or one where minutes are better used so")


class GradientMachine(Machine):
    """Where training by gradient computes."""

    accelerator: Accelerator = Field("auto", description="auto: the GPU if there is one")
    devices: int = Field(1, ge=1, description="processes of one device each; under torchrun it decides")
    strategy: Strategy = Field("auto", description="auto is ddp: a copy in each process; fsdp: each holds a shard")
    precision: Precision = Field("32-true", description="of the arithmetic; weights are always float32")


class Folder(Settings):
    """Where a run is kept."""

    out: Path | None = Field(None, description="run folder; default runs/<family>")
    overwrite: bool = Field(False, description="replace the run that is in the folder")
