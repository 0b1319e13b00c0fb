"""What an application is told: those settings of the server that a replica has, with the same limits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class ArgumentError(ValueError):
    """An argument is missing, unknown or outside of its limits. The message is one line that names it."""


class Arguments(BaseModel):
    """Settings of every replica of one application."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: Path = Field(description="folder of bundles, <name>/<version>/bundle.json, the same on every machine")
    model: str | None = Field(None, min_length=1, description="the only model to serve; default: all of the folder")
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    threads: int = Field(1, ge=1, le=1024, description="threads that compute inside one step, and cores to reserve")
    rows: int = Field(32, ge=1, le=4096)
    queue_limit: int = Field(256, ge=1, le=100_000)
    chunk_tokens: int = Field(256, ge=3, le=65536)
    max_new_tokens_limit: int = Field(4096, ge=1, le=1_000_000)
    messages_per_second: float = Field(800, gt=0, le=1e6, description="most that a replica hands to Serve")
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def read_arguments(given: Mapping[str, Any]) -> Arguments:
    """Return the arguments. Raises ArgumentError."""
    try:
        return Arguments(**given)
    except ValidationError as error:
        first = error.errors()[0]
        raise ArgumentError(f"{first['loc'][0]}: {first['input']!r}: {first['msg']}") from None
