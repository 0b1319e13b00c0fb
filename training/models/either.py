"""Two ways to the same values, of which an exported graph computes only the one that a condition asks for.

Knows nothing about what is computed. `export/branches.py` makes a branch of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

DOMAIN, EITHER = "seqstream", "Either"


def either(condition: Tensor, then: Tensor, otherwise: Tensor) -> Tensor:
    """Return `then` if `condition` [] bool holds and else `otherwise`, both of one shape; only while exporting.

    Two values that stand for the same: where a graph has no branches `otherwise` is always right.
    """
    assert torch.compiler.is_exporting(), "in eager mode there is `if`"
    chosen: Tensor = torch.onnx.ops.symbolic(
        f"{DOMAIN}::{EITHER}",
        [condition, then, otherwise],
        dtype=otherwise.dtype,
        shape=tuple(otherwise.shape),
        version=1,
    )
    return chosen
