"""What is asked for at export: a precision, of caches too, how much it may cost, and the text that it is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bundle.manifest import CacheName, PrecisionName

MAX_LOSS = 0.01
Prompts = Literal["same", "w8a8"]
# Precisions that are slow for many tokens at once.
FOR_TOKENS: tuple[PrecisionName, ...] = ("int8", "int4")
# The one that only GPUs run.
HALF: PrecisionName = "fp16"


@dataclass(frozen=True, slots=True)
class Precision:
    """A precision as asked for.

    Attributes:
        name: fp32 leaves products as they are.
        max_loss: most that perplexity may grow, as a share of that of fp32, all together.
        text: to calibrate with and to measure the loss on; pairs for a model with a source.
        cache: how attention keeps keys and values; float leaves them as it computes them.
        prompts: how what is no decode step is computed: in the same precision, or in another, with weights of its own.
    """

    name: PrecisionName = "fp32"
    max_loss: float = MAX_LOSS
    text: Path | None = None
    cache: CacheName = "float"
    prompts: Prompts = "same"

    def __str__(self) -> str:
        """Return the flags that ask for it, those of defaults left out; "" where it changes nothing."""
        flags = {
            "precision": (self.name, "fp32"),
            "cache": (self.cache, "float"),
            "prompts": (self.prompts, "same"),
        }
        return " ".join(f"--{flag} {given}" for flag, (given, usual) in flags.items() if given != usual)


FP32 = Precision()
