"""What recurrent layers do inside, from what goes in and comes out: gates, candidates and cells over time.

A gate depends on a token and the state before it; given all states, which fused operators return, every time is
computed at once. Only an LSTM's cells, which they do not return, are added up one by one. Knows nothing about layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from bundle.manifest import ViewKind
from training.models.step_model import State, Views
from training.models.unroll import unroll

# By kind of layer. LSTM: c' = forget * c + input * candidate, h' = output * tanh(c').
# GRU: h' = (1 - update) * candidate + update * h.
GATES: dict[str, dict[str, ViewKind]] = {
    "lstm": {
        "input_gate": "gate", "forget_gate": "gate", "output_gate": "gate", "candidate": "state", "cell": "state",
        "hidden": "state",
    },
    "gru": {"reset_gate": "gate", "update_gate": "gate", "candidate": "state", "hidden": "state"},
}  # fmt: skip
_PLAIN: dict[str, ViewKind] = {"hidden": "state"}


def declared(kind: str) -> dict[str, ViewKind]:
    """Return what there is to see of a layer of `kind`, by name."""
    return GATES.get(kind, _PLAIN)


def gates(kind: str, weights: Sequence[Tensor], inputs: Tensor, outputs: Tensor, before: State) -> Views:
    """Return what `declared` names, each [B, T, width], of a layer that made `outputs` [B, T, width] of `inputs`.

    weights: in PyTorch's layout.    before: its states [B, width] at the start, hidden first and then cells.
    """
    hidden, *cell = before.values()
    if kind not in GATES:
        return {"hidden": outputs}
    past = torch.cat((hidden[:, None], outputs), dim=1)[:, :-1]
    from_input, from_past, *biases = weights
    entering = F.linear(inputs, from_input, biases[0])
    recurring = F.linear(past, from_past, biases[1])
    seen = _gru(entering, recurring) if kind == "gru" else _lstm(entering + recurring, cell[0])
    return {**seen, "hidden": outputs}


def _gru(entering: Tensor, recurring: Tensor) -> Views:
    """Cho et al. 2014, with the reset gate behind the product."""
    reset_in, update_in, candidate_in = entering.chunk(3, dim=-1)
    reset_past, update_past, candidate_past = recurring.chunk(3, dim=-1)
    reset = torch.sigmoid(reset_in + reset_past)
    return {
        "reset_gate": reset,
        "update_gate": torch.sigmoid(update_in + update_past),
        "candidate": torch.tanh(candidate_in + reset * candidate_past),
    }


def _lstm(sums: Tensor, cell: Tensor) -> Views:
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    entering, forget, candidate, leaving = sums.chunk(4, dim=-1)
    entering, forget, leaving = (torch.sigmoid(gate) for gate in (entering, forget, leaving))
    candidate = torch.tanh(candidate)

    def add(both: Tensor, state: State) -> tuple[Tensor, State]:
        keep, new = both.chunk(2, dim=-1)
        cell = keep * state["cell"] + new
        return cell, {"cell": cell}

    lengths = torch.full_like(sums[:, 0, 0], sums.shape[1], dtype=torch.int64)
    cells, _ = unroll(add, torch.cat((forget, entering * candidate), dim=-1), lengths, {"cell": cell})
    return {
        "input_gate": entering, "forget_gate": forget, "output_gate": leaving, "candidate": candidate, "cell": cells,
    }  # fmt: skip
