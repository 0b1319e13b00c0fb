"""The part of every family's configuration that is the same: strictness, and the vocabularies.

A config is data alone: frozen, validated, and saved as JSON beside the weights. Knows nothing about modules.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Width = Annotated[int, Field(ge=1, le=65_536)]
Layers = Annotated[int, Field(ge=1, le=256)]
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]
VocabularySize = Annotated[int, Field(ge=2, le=1_000_000)]
Limit = Annotated[int, Field(ge=2, le=1_048_576)]
# For settings that only a checkpoint from elsewhere asks for: the configuration file has them, the command line not.
NO_FLAG: Any = {"json_schema_extra": {"flag": False}}


class LanguageConfig(BaseModel):
    """What every language model is told."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    vocabulary_size: VocabularySize = Field(description="number of token ids")


class PairsConfig(LanguageConfig):
    """What every encoder-decoder is told. Source and target have vocabularies of their own."""

    source_vocabulary_size: VocabularySize = Field(description="number of source token ids")
    source_limit: Limit = Field(default=128, description="most source tokens the encoder takes")
