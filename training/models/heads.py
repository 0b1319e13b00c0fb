"""What attention heads ask of a Transformer's sizes, and how its matrices start."""

from __future__ import annotations

from torch import nn


def check_heads(width: int, heads: int, kv_heads: int, multiple: int, head_width: int | None = None) -> None:
    """Raise ValueError unless heads are a `multiple` wide, and `kv_heads` divide `heads`.

    head_width: where it is not `width / heads`. The fused attention operators take heads whose width is a multiple of
    8, and of 16 to rotate them.
    """
    if head_width is None and (width % heads or (width // heads) % multiple):
        raise ValueError(f"width {width} in {heads} heads: the width of a head must be a multiple of {multiple}")
    if head_width is not None and head_width % multiple:
        raise ValueError(f"head_width {head_width}: must be a multiple of {multiple}")
    if heads % kv_heads:
        raise ValueError(f"kv_heads {kv_heads}: must divide heads, {heads}")


def initialise(blocks: nn.Module, layers: int) -> None:
    """Start every matrix normal with variance 1 / (3 · inputs), that of GPT-2 at its width 768, and biases at zero.

    Matrices that write into the residual stream (`merge`, `contract`) are divided by sqrt(2 · layers), so that the
    stream's variance does not grow with depth (Radford et al. 2019).
    """
    for name, module in blocks.named_modules():
        if isinstance(module, nn.Linear):
            spread = (3 * module.in_features) ** -0.5
            if name.endswith(("merge", "contract")):
                spread *= (2 * layers) ** -0.5
            nn.init.normal_(module.weight, std=spread)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
