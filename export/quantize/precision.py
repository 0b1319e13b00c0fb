"""What is asked for at export: a precision, how much it may cost, and the text that it is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bundle.manifest import PrecisionName

MAX_LOSS = 0.01
# The one that only GPUs run.
HALF: PrecisionName = "fp16"


@dataclass(frozen=True, slots=True)
class Precision:
    """A precision as asked for.

    Attributes:
        name: fp32 leaves the graphs as they are.
        max_loss: most that perplexity may grow, as a share of that of fp32.
        text: to calibrate with and to measure the loss on; pairs for a model with a source.
    """

    name: PrecisionName = "fp32"
    max_loss: float = MAX_LOSS
    text: Path | None = None


FP32 = Precision()
