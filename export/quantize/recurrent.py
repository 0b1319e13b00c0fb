"""LSTM, GRU and RNN operators rewritten so that both of their products are row-wise dynamic int8.

The product with the inputs is taken for all time steps at once, in front of the recurrence, the one with the state in
the body of a Scan. Everything is elementwise or a sum of integers, so that the bits of a row depend neither on the rows
beside it nor on how its sequence is cut into calls. Works on operators: it knows nothing about models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

# The gates of each operator in the order of its weights.
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
_FREE_ACTIVATIONS = ("Sigmoid", "Tanh", "Relu")
# What an attribute has to be, where anything else would compute something else.
_PLAIN = {"direction": b"forward", "layout": 0, "input_forget": 0}
_LEVELS = 127
# Of a row of zeros: any positive number keeps the division defined.
_LEAST = 1e-9


def is_plain(graph: GraphProto, node: NodeProto) -> bool:
    """Tell whether `rowwise_recurrent` can rewrite `node` of `graph`.

    That is an LSTM, GRU (reset behind the product) or RNN, forward, with constant weights, lengths and a state given,
    and without peepholes, clipping and activations of its own but for the RNN's.
    """
    if node.domain not in ("", "ai.onnx") or node.op_type not in _GATES:
        return False
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    plain = all(attributes.get(name, value) == value for name, value in _PLAIN.items())
    plain &= not attributes.keys() & {"clip", "activation_alpha", "activation_beta"}
    plain &= node.op_type != "GRU" or attributes.get("linear_before_reset", 0) == 1
    activations = _activations(node)
    plain &= activations == _ACTIVATIONS[node.op_type] or (
        node.op_type == "RNN" and activations[0] in _FREE_ACTIVATIONS
    )
    constants = {tensor.name for tensor in graph.initializer}
    plain &= len(node.input) == (7 if node.op_type == "LSTM" else 6) and all(node.input)
    return plain and all(name in constants for name in node.input[1:4])


def rowwise_recurrent(graph: GraphProto, node: NodeProto) -> list[NodeProto]:
    """Return the operators that compute `node` of `graph` in 8 bits; the weights they read are added to `graph`.

    Each row of X [T, B, I] and of the state [B, H] is scaled by its own largest magnitude, each output channel of the
    weights by the channel's. A row keeps its state from its last real time step on; Y is undefined behind it. The
    float32 weights stay in `graph` for other nodes that may read them.

    Raises ValueError for a node that is not plain.
    """
    if not is_plain(graph, node):
        raise ValueError(f"node {node.name}: {node.op_type} is not of the form that has a row-wise rewrite")
    x, lengths, *state = node.input[0], *node.input[4:]
    cell = _Cell(graph, node)
    nodes = _Nodes(cell.name)
    gates = nodes("Add", cell.multiply(nodes, x, cell.inputs), cell.bias)  # [T, B, G * H]
    real = _real(graph, nodes, x, lengths)
    # Y has the axis of directions behind the one of time: a state [1, B, H] a step, stacked, is Y.
    outputs = [*node.output[1:], *[""] * (1 + len(state) - len(node.output)), node.output[0]]
    outputs = [name or f"{cell.name}_unused_{index}" for index, name in enumerate(outputs)]
    body = _body(cell, len(state))
    inputs = [*state, gates, real]
    nodes.made.append(helper.make_node("Scan", inputs, outputs, name=cell.name, num_scan_inputs=2, body=body))
    return nodes.made


class _Nodes:
    """Operators in the making: calling it adds one and returns the name of what it computes."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.made: list[NodeProto] = []

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401 - what ONNX takes
        return self.several(operator, 1, *inputs, **attributes)[0]

    def several(self, operator: str, count: int, *inputs: str, **attributes: Any) -> list[str]:  # noqa: ANN401
        """Add an operator with `count` outputs; return their names."""
        name = f"{self.prefix}_{len(self.made)}"
        outputs = [f"{name}_{index}" for index in range(count)] if count > 1 else [name]
        self.made.append(helper.make_node(operator, list(inputs), outputs, name=name, **attributes))
        return outputs


class _Cell:
    """One recurrence: its constants, its two products and a step of it."""

    def __init__(self, graph: GraphProto, node: NodeProto) -> None:
        arrays = {tensor.name: tensor for tensor in graph.initializer if tensor.name in node.input[1:4]}
        weights, recurrent, biases = (numpy_helper.to_array(arrays[name])[0] for name in node.input[1:4])
        self._graph = graph
        self.kind = node.op_type
        self.activation = _activations(node)[0]
        self.name = node.name or node.output[0] or node.output[1]
        self.inputs = self._product("inputs", weights)
        self.recurrent = self._product("recurrent", recurrent)
        self.gates = _GATES[self.kind]
        width = recurrent.shape[1]
        first, second = np.split(biases, 2)
        # The GRU's reset gate scales the state's product with its bias: only this bias cannot go to the inputs.
        apart = 2 * width if self.kind == "GRU" else len(second)
        self.bias = self.constant("bias", first + np.concatenate((second[:apart], np.zeros_like(second[apart:]))))
        self.recurrent_bias = self.constant("recurrent_bias", second[apart:]) if self.kind == "GRU" else ""
        rest = (self.gates - 1) * width
        self.parts = self.constant("parts", np.array([rest, width], np.int64)) if rest else ""

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        """Add a constant of this node to the graph; return its name."""
        return _constant(self._graph, f"{self.name}_{name}", values)

    def _product(self, name: str, weights: NDArray[np.float32]) -> tuple[str, str]:
        """Quantise `weights` [N, K]; return the names of codes [K, N] int8 and scales [N].

        A scale holds the step of its column and the step of the rows of unit magnitude.
        """
        scales = np.maximum(np.abs(weights).max(axis=1), _LEAST) / _LEVELS
        codes = np.rint(weights / scales[:, None]).astype(np.int8)
        return (
            self.constant(f"{name}_codes", np.ascontiguousarray(codes.T)),
            self.constant(f"{name}_scales", (scales / _LEVELS).astype(np.float32)),
        )

    def multiply(self, nodes: _Nodes, rows: str, product: tuple[str, str]) -> str:
        """Multiply `rows` [..., K], each quantised by itself; return [..., N] float32."""
        axis = _constant(self._graph, "rowwise_axis", np.array([-1], np.int64))
        least = _constant(self._graph, "rowwise_least", np.array(_LEAST, np.float32))
        step = _constant(self._graph, "rowwise_step", np.array(1 / _LEVELS, np.float32))
        middle = _constant(self._graph, "rowwise_middle", np.array(128, np.uint8))
        codes, scales = product
        largest = nodes("Max", nodes("ReduceMax", nodes("Abs", rows), axis, keepdims=1), least)
        rows = nodes("QuantizeLinear", nodes("Div", rows, largest), step, middle)
        sums = nodes("Cast", nodes("MatMulInteger", rows, codes, middle), to=TensorProto.FLOAT)
        return nodes("Mul", nodes("Mul", sums, scales), largest)

    def step(self, nodes: _Nodes, gates: str, state: Sequence[str]) -> list[str]:
        """One time step: from gates [..., B, G * H] of the inputs and each state [1, B, H] to the next state."""
        product = self.multiply(nodes, state[0], self.recurrent)
        return _STEPS[self.kind](self, nodes, gates, product, state)


def _four_gates(cell: _Cell, nodes: _Nodes, gates: str, product: str, state: Sequence[str]) -> list[str]:
    first, new = nodes.several("Split", 2, nodes("Add", product, gates), cell.parts, axis=-1)
    i, o, f = nodes.several("Split", 3, nodes("Sigmoid", first), axis=-1, num_outputs=3)
    kept = nodes("Add", nodes("Mul", f, state[1]), nodes("Mul", i, nodes("Tanh", new)))
    return [nodes("Mul", o, nodes("Tanh", kept)), kept]


def _three_gates(cell: _Cell, nodes: _Nodes, gates: str, product: str, state: Sequence[str]) -> list[str]:
    first, new = nodes.several("Split", 2, gates, cell.parts, axis=-1)
    recurrent, hidden = nodes.several("Split", 2, product, cell.parts, axis=-1)
    update, reset = nodes.several("Split", 2, nodes("Sigmoid", nodes("Add", first, recurrent)), axis=-1, num_outputs=2)
    hidden = nodes("Mul", reset, nodes("Add", hidden, cell.recurrent_bias))
    new = nodes("Tanh", nodes("Add", new, hidden))
    return [nodes("Add", new, nodes("Mul", update, nodes("Sub", state[0], new)))]


def _one_gate(cell: _Cell, nodes: _Nodes, gates: str, product: str, _: Sequence[str]) -> list[str]:
    return [nodes(cell.activation, nodes("Add", product, gates))]


_STEPS = {"LSTM": _four_gates, "GRU": _three_gates, "RNN": _one_gate}


def _real(graph: GraphProto, nodes: _Nodes, x: str, lengths: str) -> str:
    """Tell which rows of X [T, B, I] are real at each time: [T, B, 1] bool."""
    zero = _constant(graph, "rowwise_zero", np.array(0, np.int32))
    one = _constant(graph, "rowwise_one", np.array(1, np.int32))
    row = _constant(graph, "rowwise_row", np.array([1, 2], np.int64))
    column = _constant(graph, "rowwise_column", np.array([1], np.int64))
    time = nodes("Cast", nodes("Squeeze", nodes("Shape", x, start=0, end=1)), to=TensorProto.INT32)
    times = nodes("Unsqueeze", nodes("Range", zero, time, one), row)  # [T, 1, 1]
    return nodes("Less", times, nodes("Unsqueeze", lengths, column))


def _body(cell: _Cell, states: int) -> GraphProto:
    """Return a round of the Scan: a step of the rows that are real, whereas the others keep their state."""
    nodes = _Nodes(f"{cell.name}_body")
    state = [f"{nodes.prefix}_state_{index}" for index in range(states)]  # each [1, B, H]
    gates, real = f"{nodes.prefix}_gates", f"{nodes.prefix}_real"  # [B, G * H], [B, 1]
    after = cell.step(nodes, gates, state)
    after = [nodes("Where", real, new, old) for new, old in zip(after, state, strict=True)]
    outputs = [*after, nodes("Identity", after[0])]
    inputs = [*map(_float, [*state, gates]), helper.make_tensor_value_info(real, TensorProto.BOOL, None)]
    return helper.make_graph(nodes.made, "body", inputs, [*map(_float, outputs)])


def _float(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def _activations(node: NodeProto) -> tuple[str, ...]:
    for attribute in node.attribute:
        if attribute.name == "activations":
            return tuple(name.decode() for name in attribute.strings)
    return _ACTIVATIONS[node.op_type]


def _constant(graph: GraphProto, name: str, values: NDArray[np.generic]) -> str:
    """Add a constant unless it is there; return its name."""
    if all(tensor.name != name for tensor in graph.initializer):
        graph.initializer.append(numpy_helper.from_array(values, name))
    return name
