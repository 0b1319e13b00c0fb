"""The position-wise layer of every Transformer, and the norms around it. Knows nothing about attention."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

Activation = Literal["relu", "gelu", "swiglu"]
Norm = Literal["rms", "layer"]


class FeedForward(nn.Module):
    """Two products with a non-linearity between; `swiglu` (Shazeer 2020) has a third, in one matrix with the first."""

    def __init__(self, width: int, hidden: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.activation = activation
        self.expand = nn.Linear(width, 2 * hidden if activation == "swiglu" else hidden)
        self.contract = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., width] to [..., width]."""
        hidden = self.expand(x)
        if self.activation == "swiglu":
            gate, up = hidden.chunk(2, dim=-1)
            hidden = F.silu(gate) * up
        else:
            hidden = F.relu(hidden) if self.activation == "relu" else F.gelu(hidden)
        contracted: Tensor = self.contract(self.dropout(hidden))
        return contracted


def normalisation(kind: Norm, width: int) -> nn.Module:
    """Return RMSNorm (Zhang and Sennrich 2019) or LayerNorm (Ba et al. 2016) over the last axis."""
    return nn.RMSNorm(width, eps=1e-5) if kind == "rms" else nn.LayerNorm(width)
