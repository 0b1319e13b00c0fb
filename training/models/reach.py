"""How far a batch of sources reaches into their memory, which has as many places as were declared.

A masked place costs attention what a real one costs, and there are many of them: a limit of 512 and sources of 30
tokens leave nearly all masked. Knows nothing about attention or about what lies in the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

# Vectors of every width divide it, so that sums over more places, masked ones among them, have the same bits. Where
# heads are wider than `_WIDE`, ONNX Runtime's products cut the sum over a head's width, but not for 64 places or fewer.
_MULTIPLE = 64
_WIDE = 128


@dataclass(frozen=True, slots=True)
class Reach:
    """The first R of the S places of a memory, the same for all layers.

    Attributes:
        lengths: [B] int64, places of each row that are read, at least one.
        mask: [B, 1, 1, R], true where the source is real.
        end: R.
        decodes: [] bool, whether this call is a decode step, if that is known.
    """

    lengths: Tensor
    mask: Tensor
    end: int
    decodes: Tensor | None = None

    @classmethod
    def of(cls, lengths: Tensor, capacity: int, width: int, decodes: Tensor | None = None) -> Reach:
        """Return how far sources of `lengths` [B] reach into `capacity` places, read by heads of this `width`.

        In the exported graph to the end of the longest, rounded up to a multiple of 64, for heads wider than 128 to one
        of 128, where there are as many places.
        In eager mode to the last place: there a memory is made as long as the longest of its sources.
        """
        # At least one place is read, so that a row without a source gives numbers and not NaN.
        lengths = lengths.clamp(min=1)
        multiple = _MULTIPLE if width <= _WIDE else 2 * _MULTIPLE
        end = _end(lengths, capacity, multiple) if torch.compiler.is_exporting() else capacity
        places = torch.arange(capacity, device=lengths.device)[:end]
        return cls(lengths, (places < lengths[:, None])[:, None, None], end, decodes)

    def cut(self, memory: Tensor) -> Tensor:
        """Return the places [B, heads, R, width] of `memory` [B, heads, S, width] that are reached."""
        return memory[:, :, : self.end]


def _end(lengths: Tensor, capacity: int, multiple: int) -> int:
    starts = torch.arange(0, capacity, multiple, device=lengths.device)
    blocks = (starts < lengths.max()).sum()
    end = cast("int", (blocks * multiple).clamp(max=capacity).item())
    # What the tracer may assume of a size that only the data tells.
    torch._check(end >= 1)  # type: ignore[no-untyped-call]
    torch._check(end <= capacity)  # type: ignore[no-untyped-call]
    return end
