"""The one list of families: for each its model, its config, the data it takes and how it is fitted.

Training and export look here by name; nothing else in the project asks for a family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from training.models.autoregressive import Autoregressive, AutoregressiveConfig
from training.models.config import LanguageConfig
from training.models.gru_seq2seq import GruSeq2seq, GruSeq2seqConfig
from training.models.latent import Latent, LatentConfig
from training.models.markov import Markov, MarkovConfig
from training.models.naive import Naive, NaiveConfig
from training.models.ngram import Ngram, NgramConfig
from training.models.recurrent import GruConfig, LstmConfig, Recurrent, RnnConfig
from training.models.step_model import StepModel
from training.models.transformer import Transformer, TransformerConfig
from training.models.transformer_lm import TransformerLm, TransformerLmConfig


@dataclass(frozen=True, slots=True)
class Family:
    """A family of models.

    Attributes:
        model: made from its config.
        config: its configuration's schema, every field with a default but the vocabulary sizes.
        task: whether it models sequences ("language") or targets given sources ("pairs", a `SourceStepModel`).
        fit: whether it is trained by gradient or fitted by counting (a `CountingModel`).
    """

    model: type[StepModel]
    config: type[LanguageConfig]
    task: Literal["language", "pairs"] = "language"
    fit: Literal["gradient", "counting"] = "gradient"

    def build(self, config: LanguageConfig | Mapping[str, Any]) -> StepModel:
        """Make the untrained model. Raises pydantic.ValidationError, a ValueError, for a config that does not fit."""
        make: Callable[[LanguageConfig], StepModel] = self.model
        return make(self.config.model_validate(config))


FAMILIES: dict[str, Family] = {
    "naive": Family(Naive, NaiveConfig),
    "ar": Family(Autoregressive, AutoregressiveConfig),
    "markov": Family(Markov, MarkovConfig, fit="counting"),
    "ngram": Family(Ngram, NgramConfig, fit="counting"),
    "latent": Family(Latent, LatentConfig),
    "rnn": Family(Recurrent, RnnConfig),
    "lstm": Family(Recurrent, LstmConfig),
    "gru": Family(Recurrent, GruConfig),
    "transformer-lm": Family(TransformerLm, TransformerLmConfig),
    "transformer": Family(Transformer, TransformerConfig, task="pairs"),
    "gru-seq2seq": Family(GruSeq2seq, GruSeq2seqConfig, task="pairs"),
}
