"""LSTM, GRU and RNN layers on the fused operators: PyTorch's in training, ONNX's own in the exported graph.

Ragged batches are packed for PyTorch and described by `sequence_lens` for ONNX. Knows nothing about tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from bundle.manifest import StateSpec, ViewSpec
from training.models.gates import declared, gates
from training.models.sigmoid_rnn import SigmoidRNN
from training.models.step_model import State, Views

Kind = Literal["lstm", "gru", "rnn-sigmoid", "rnn-tanh", "rnn-relu"]

# The ONNX operator, and where its gates lie in PyTorch's order: i f g o -> i o f g, and r z n -> z r n.
_OPERATORS: dict[str, tuple[str, tuple[int, ...]]] = {
    "lstm": ("LSTM", (0, 3, 1, 2)),
    "gru": ("GRU", (1, 0, 2)),
    "rnn-sigmoid": ("RNN", (0,)),
    "rnn-tanh": ("RNN", (0,)),
    "rnn-relu": ("RNN", (0,)),
}
_ATTRIBUTES: dict[str, dict[str, int | list[str]]] = {
    "lstm": {},
    "gru": {"linear_before_reset": 1},
    "rnn-sigmoid": {"activations": ["Sigmoid"]},
    "rnn-tanh": {"activations": ["Tanh"]},
    "rnn-relu": {"activations": ["Relu"]},
}


class NativeRNN(nn.Module):
    """A stack of recurrent layers with its state as named tensors: `h0`, `h1`, … and for LSTM `c0`, `c1`, …

    Args:
        kind: of every layer.
        inputs: width of what comes in.
        width: of every layer's state and output.
        layers: how many.
        dropout: share of outputs dropped between layers in training.
        gain: of the orthogonal recurrent weights at the start: below 1 a linear network would forget, above 1 explode.
    """

    def __init__(
        self, kind: Kind, inputs: int, width: int, layers: int, dropout: float = 0.0, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.width = width
        stack = nn.ModuleList(_Layer(kind, width if index else inputs, width, gain) for index in range(layers))
        self.layers = cast("Sequence[_Layer]", stack)
        self.parts = ("h", "c") if kind == "lstm" else ("h",)
        # ONNX Runtime's RNN, unlike its LSTM and GRU, sums for a lone row in another order than for several: one row
        # more, and a stream gets the same bits by itself and in a crowd.
        self.spare_row = kind.startswith("rnn")
        self.dropout = nn.Dropout(dropout)

    @property
    def states(self) -> tuple[StateSpec, ...]:
        return tuple(
            StateSpec(name=f"{part}{index}", kind="recurrent", dtype="float32", shape=(self.width,))
            for index in range(len(self.layers))
            for part in self.parts
        )

    def views(self, part: Literal["encoder", "decoder"]) -> tuple[ViewSpec, ...]:
        """What there is to see of all layers, as a part of a model."""
        return tuple(
            ViewSpec(name=name, kind=kind, part=part, layer=index, size=self.width)
            for index, layer in enumerate(self.layers)
            for name, kind in declared(layer.kind).items()
        )

    def look(self, inputs: Tensor, state: State, part: str) -> tuple[Tensor, State, Views]:
        """Run over `inputs` [1, T, inputs], all real, as `forward` does; returns with it what `views(part)` names."""
        x, new, views = inputs, State(), Views()
        lengths = torch.full((1,), inputs.shape[1], device=inputs.device)
        for index, layer in enumerate(self.layers):
            outputs, after = self._run(x, lengths, state, (index,))
            before = {name: state[name] for name in after}
            seen = gates(layer.kind, layer.fused.all_weights[0], x, outputs, before)
            views |= {f"{part}_{index}_{name}": tensor for name, tensor in seen.items()}
            x, new = outputs, {**new, **after}
        return x, new, views

    def freeze(self) -> None:
        """Lay the weights out as ONNX wants them. Needed before export, and again after the weights change."""
        for layer in self.layers:
            layer.freeze()

    def forward(self, inputs: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """Run over `inputs` [B, T, inputs], of which `lengths` [B] int64 >= 1 are real.

        Returns outputs [B, T, width] (float32, zeros at padded positions of ragged batches) and the next state.
        """
        return self._run(inputs, lengths, state, range(len(self.layers)))

    def _run(self, inputs: Tensor, lengths: Tensor, state: State, layers: Sequence[int]) -> tuple[Tensor, State]:
        if torch.compiler.is_exporting():
            return self._exported(inputs, lengths, state, layers)
        time = inputs.shape[1]
        if bool((lengths == time).all()):
            outputs, state = self._fused(inputs, state, layers)
        else:
            packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
            packed, state = self._fused(packed, state, layers)
            outputs, _ = pad_packed_sequence(packed, batch_first=True, total_length=time)
        return outputs.float(), state

    def _fused(  # a tensor or a packed sequence
        self,
        x: Any,  # noqa: ANN401
        state: State,
        layers: Sequence[int],
    ) -> tuple[Any, State]:
        new: State = {}
        for index in layers:
            layer = self.layers[index]
            if index:
                x = self._drop(x)
            names = [f"{part}{index}" for part in self.parts]
            x, last = layer.run(x, _bundled([state[name][None] for name in names]))
            last = last if len(names) > 1 else (last,)
            new |= {name: tensor[0].float() for name, tensor in zip(names, last, strict=True)}
        return x, new

    def _drop(self, x: Tensor | PackedSequence) -> Tensor | PackedSequence:
        if isinstance(x, PackedSequence):
            return PackedSequence(self.dropout(x.data), *x[1:])
        dropped: Tensor = self.dropout(x)
        return dropped

    def _exported(self, inputs: Tensor, lengths: Tensor, state: State, layers: Sequence[int]) -> tuple[Tensor, State]:
        x = inputs.transpose(0, 1)  # [T, B, inputs], as the operators want it
        real = lengths.to(torch.int32)
        batch = inputs.shape[0]
        if self.spare_row:
            x, real = torch.cat((x, x[:, :1]), dim=1), torch.cat((real, real[:1]))
        new: State = {}
        for index in layers:
            names = [f"{part}{index}" for part in self.parts]
            old = [state[name][None] for name in names]  # [1, B, width]
            if self.spare_row:
                old = [torch.cat((tensor, tensor[:, :1]), dim=1) for tensor in old]
            x, *last = self.layers[index].exported(x, real, old)
            new |= {name: tensor[0, :batch] for name, tensor in zip(names, last, strict=True)}
        return x[:, :batch].transpose(0, 1), new


class _Layer(nn.Module):
    """One layer: PyTorch's fused module, which owns the weights, and the same weights laid out for ONNX."""

    fused: nn.RNNBase
    input_weight: Tensor | None  # [1, gates * width, inputs]
    recurrent_weight: Tensor | None  # [1, gates * width, width]
    both_biases: Tensor | None  # [1, 2 * gates * width]

    def __init__(self, kind: Kind, inputs: int, width: int, gain: float) -> None:
        super().__init__()
        self.kind = kind
        self.width = width
        self.fused = _fused_module(kind, inputs, width)
        _initialise(self.fused, kind, gain)
        for name in ("input_weight", "recurrent_weight", "both_biases"):
            self.register_buffer(name, None, persistent=False)

    def run(self, x: Any, state: Any) -> Any:  # noqa: ANN401 - tensors or packed sequences, and what `fused` returns
        """Run the fused module; in float32 where autocast asks for a kernel that PyTorch has not on this processor."""
        if self.kind == "lstm" and torch.is_autocast_enabled("cpu") and not _has_bfloat16():
            with torch.autocast("cpu", enabled=False):
                return self.fused(x.float(), state)
        return self.fused(x, state)

    def freeze(self) -> None:
        gates = _OPERATORS[self.kind][1]

        def reordered(weight: Tensor) -> Tensor:
            chunks = weight.detach().chunk(len(gates))
            return torch.cat([chunks[gate] for gate in gates])[None]

        inputs, recurrent, *biases = self.fused.all_weights[0]
        self.input_weight = reordered(inputs)
        self.recurrent_weight = reordered(recurrent)
        self.both_biases = torch.cat([reordered(bias) for bias in biases], dim=1)

    def exported(self, x: Tensor, lengths: Tensor, state: list[Tensor]) -> tuple[Tensor, ...]:
        """Emit the ONNX operator over `x` [T, B, inputs] and `state` [1, B, width]; returns [T, B, width], state'."""
        assert self.input_weight is not None, "freeze() comes before export"
        operator, _ = _OPERATORS[self.kind]
        time, batch, _ = x.shape
        outputs, *last = torch.onnx.ops.symbolic_multi_out(
            operator,
            [x, self.input_weight, self.recurrent_weight, self.both_biases, lengths, *state],
            attrs={"hidden_size": self.width, **_ATTRIBUTES[self.kind]},
            dtypes=[x.dtype] * (1 + len(state)),
            shapes=[(time, 1, batch, self.width), *[(1, batch, self.width)] * len(state)],
        )
        return outputs.squeeze(1), *last


def _has_bfloat16() -> bool:
    """Whether oneDNN, which computes LSTMs on CPUs, does so in bfloat16: it takes AVX512."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _fused_module(kind: Kind, inputs: int, width: int) -> nn.RNNBase:
    match kind:
        case "lstm":
            return nn.LSTM(inputs, width, batch_first=True)
        case "gru":
            return nn.GRU(inputs, width, batch_first=True)
        case "rnn-sigmoid":
            return SigmoidRNN(inputs, width)
        case "rnn-tanh":
            return nn.RNN(inputs, width, nonlinearity="tanh", batch_first=True)
        case "rnn-relu":
            return nn.RNN(inputs, width, nonlinearity="relu", batch_first=True)


def _initialise(fused: nn.RNNBase, kind: Kind, gain: float) -> None:
    """Orthogonal recurrences (Saxe et al. 2014), Glorot inputs; an LSTM starts by remembering (Gers et al. 2000)."""
    gates = len(_OPERATORS[kind][1])
    inputs, recurrent, *biases = (weight.detach() for weight in fused.all_weights[0])
    for gate in inputs.chunk(gates):
        nn.init.xavier_uniform_(gate)
    for gate in recurrent.chunk(gates):
        nn.init.orthogonal_(gate, gain=gain)
    for bias in biases:
        nn.init.zeros_(bias)
    if kind == "lstm":
        _, forget, _, _ = biases[0].chunk(4)
        nn.init.ones_(forget)


def _bundled(parts: list[Tensor]) -> Tensor | tuple[Tensor, ...]:
    return parts[0] if len(parts) == 1 else tuple(parts)
