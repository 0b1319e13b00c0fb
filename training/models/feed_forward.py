"""The position-wise layer of every Transformer, and the norms around it. Knows nothing about attention."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

Activation = Literal["relu", "gelu", "gelu_tanh", "silu", "swiglu"]
Norm = Literal["rms", "layer"]

_FUNCTIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
}


class FeedForward(nn.Module):
    """Two products with a non-linearity between; `swiglu` (Shazeer 2020) has a third, in one matrix with the first."""

    def __init__(self, width: int, hidden: int, activation: Activation, dropout: float, bias: bool = True) -> None:
        super().__init__()
        self.activation = activation
        self.expand = nn.Linear(width, 2 * hidden if activation == "swiglu" else hidden, bias=bias)
        self.contract = nn.Linear(hidden, width, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., width] to [..., width]."""
        hidden = self.expand(x)
        if self.activation == "swiglu":
            gate, up = hidden.chunk(2, dim=-1)
            hidden = F.silu(gate) * up
        else:
            hidden = _FUNCTIONS[self.activation](hidden)
        contracted: Tensor = self.contract(self.dropout(hidden))
        return contracted


def normalisation(kind: Norm, width: int, epsilon: float = 1e-5) -> nn.Module:
    """Return RMSNorm (Zhang and Sennrich 2019) or LayerNorm (Ba et al. 2016) over the last axis."""
    return nn.RMSNorm(width, eps=epsilon) if kind == "rms" else nn.LayerNorm(width, eps=epsilon)
