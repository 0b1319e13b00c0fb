"""Any recurrent cell over time: one step of the cell for every token, whatever the cell is.

Knows nothing about what the cell computes. For LSTM, GRU and plain RNN the fused operators of `native_rnn` are faster.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan

from training.models.step_model import State

Cell = Callable[[Tensor, State], tuple[Tensor, State]]


def unroll(cell: Cell, inputs: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
    """Run `cell(input [B, I], state) -> (output [B, F], state')` over the time axis of `inputs` [B, T, I].

    Past a row's length its state stays as it is. Exported, the loop is one ONNX `Scan`, so T stays dynamic.
    Returns outputs [B, T, F] and the state behind each row's last real token.
    """
    names = tuple(state)
    real = torch.arange(inputs.shape[1], device=inputs.device)[:, None] < lengths  # [T, B]

    def masked(carry: tuple[Tensor, ...], item: tuple[Tensor, Tensor]) -> tuple[tuple[Tensor, ...], Tensor]:
        x, keep = item
        output, new = cell(x, dict(zip(names, carry, strict=True)))
        carry = tuple(_where(keep, new[name], old) for name, old in zip(names, carry, strict=True))
        return carry, output.clone()  # what a scan gives out may not alias what it carries

    carry = tuple(state.values())
    items = (inputs.transpose(0, 1), real)
    if torch.compiler.is_exporting():
        carry, outputs = scan(masked, carry, items, dim=0)
    else:
        steps = []
        for item in zip(*items, strict=True):
            carry, output = masked(carry, item)
            steps.append(output)
        outputs = torch.stack(steps)
    return outputs.transpose(0, 1), dict(zip(names, carry, strict=True))


def _where(real: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(real.view(-1, *[1] * (old.dim() - 1)), new.to(old.dtype), old)
