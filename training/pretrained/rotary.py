"""Rotary frequencies of checkpoints that stretch them over longer contexts. Pure functions of numbers."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from training.models.positions import frequencies


class Rotary(BaseModel):
    """How a checkpoint turns queries and keys: `rope_parameters`, or `rope_theta` and `rope_scaling` in older ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rope_type: Literal["default", "linear", "llama3", "yarn"] = "default"
    rope_theta: float = Field(default=10_000.0, gt=1.0)
    factor: float = Field(default=1.0, ge=1.0)
    original_max_position_embeddings: int | None = Field(default=None, ge=1)
    low_freq_factor: float = Field(default=1.0, gt=0.0)
    high_freq_factor: float = Field(default=4.0, gt=0.0)
    beta_fast: float = Field(default=32.0, gt=0.0)
    beta_slow: float = Field(default=1.0, gt=0.0)
    attention_factor: float | None = Field(default=None, gt=0.0)

    @property
    def magnitude(self) -> float:
        """The factor on rotated queries and keys (Peng et al. 2023, YaRN, equation 22)."""
        if self.rope_type != "yarn":
            return 1.0
        return self.attention_factor or 0.1 * math.log(self.factor) + 1.0

    def turning(self, head_width: int, limit: int) -> Tensor:
        """Return the frequencies [head_width / 2] float64; `limit`: the context of training, if not said."""
        plain = frequencies(head_width, self.rope_theta)
        original = self.original_max_position_embeddings or limit
        if self.rope_type == "linear":  # Chen et al. 2023: positions themselves are shrunk
            return plain / self.factor
        if self.rope_type == "llama3":
            return self._by_wavelength(plain, original)
        if self.rope_type == "yarn":
            return self._by_parts(plain, head_width, original)
        return plain

    def _by_wavelength(self, plain: Tensor, original: int) -> Tensor:
        """Slow waves are shrunk, fast ones are kept, those between are mixed (Llama 3.1's own rule)."""
        turns = original * plain / (2 * math.pi)  # in the original context
        kept = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        kept = kept.clamp(0.0, 1.0)
        return kept * plain + (1.0 - kept) * plain / self.factor

    def _by_parts(self, plain: Tensor, head_width: int, original: int) -> Tensor:
        """Between two numbers of turns a linear ramp over the dimensions (Peng et al. 2023, YaRN, section 3.2)."""

        def dimension(turns: float) -> float:
            return head_width * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(self.rope_theta))

        low = max(math.floor(dimension(self.beta_fast)), 0)
        high = min(math.ceil(dimension(self.beta_slow)), head_width - 1)
        shrunk = ((torch.arange(head_width // 2, dtype=torch.float64) - low) / max(high - low, 0.001)).clamp(0.0, 1.0)
        return shrunk * plain / self.factor + (1.0 - shrunk) * plain
