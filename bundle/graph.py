"""What a graph of a bundle may hold, looked up before ONNX Runtime opens it: it trusts what it is given.

Field numbers are those of onnx.proto (ONNX 1.23). That a graph passes does not make it harmless: see SECURITY.md. Only
names, sizes and shapes are read, no weights: 20 µs a node.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from math import prod
from pathlib import Path

from bundle.protobuf import MalformedError, Value, fields, grouped, last_text, message, number, text, varints
from bundle.tensor import Tensor, read_tensor

# Operators outside of the standard that exports write, or ONNX Runtime itself where it has optimised a graph.
CONTRIBUTED = frozenset({
    "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "FastGelu", "FusedMatMul", "Gelu", "GroupQueryAttention",
    "MatMulIntegerToFloat", "MatMulNBits", "MultiHeadAttention", "QuickGelu", "RotaryEmbedding",
    "SkipLayerNormalization", "SkipSimplifiedLayerNormalization",
})  # fmt: skip
# Of the standard: those that need not end, and those that draw numbers, which would make no two runs alike.
REFUSED = frozenset({
    "Bernoulli", "Loop", "Multinomial", "Optional", "OptionalGetElement", "OptionalHasElement", "RandomNormal",
    "RandomNormalLike", "RandomUniform", "RandomUniformLike", "SequenceMap",
})  # fmt: skip
# Inputs, by place, whose values are sizes of what the operator makes.
_SIZES = {"ConstantOfShape": 0, "Expand": 1, "OneHot": 1, "Pad": 1, "Range": 1, "Tile": 1, "Resize": 3}
_POSITIVE = frozenset({"blocksize", "dilations", "kernel_shape", "strides"})
_MOST_ELEMENTS = 1 << 31
_MOST_NODES = 200_000
_DEEPEST = 4
_STANDARD = ("", "ai.onnx")
_MICROSOFT = "com.microsoft"


class GraphError(ValueError):
    """A graph holds what it may not, or is none. The message is one line."""


def check_graph(path: Path, data_bytes: int) -> None:
    """Check the graph in the file `path`. data_bytes: size of the file of weights behind it; 0 if there is none.

    Raises:
        GraphError: naming what it holds, and what is allowed.
    """
    if not path.stat().st_size:
        raise GraphError("is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # What is wrong is raised when no view of the file is left: an error holds those of all that it came through.
        reason = _fault(content, path.name + ".data", data_bytes)
    if reason:
        raise GraphError(reason)


def _fault(content: mmap.mmap, data_name: str, data_bytes: int) -> str | None:
    with memoryview(content) as view:
        try:
            _Checking(data_name, data_bytes).model(view)
        except MalformedError as error:
            return str(error)
    return None


class _Checking:
    """One check. It keeps what was read, but no view of the file."""

    def __init__(self, data_name: str, data_bytes: int) -> None:
        self._data = (data_name, data_bytes)
        self._nodes = 0
        self._constants: dict[str, Tensor] = {}
        self._sizes: list[tuple[str, str]] = []

    def model(self, view: memoryview) -> None:
        graphs = 0
        for field, value in fields(view):
            if field == 7:
                graphs += 1
                self._graph(message(value), 1)
            elif field == 20:
                raise MalformedError("holds what belongs to training; allowed: a graph")
            elif field == 25:
                raise MalformedError("holds functions of its own; allowed: operators")
        if graphs != 1:
            raise MalformedError(f"holds {graphs} graphs; allowed: one")
        for operator, name in self._sizes:
            if (tensor := self._constants.get(name)) is not None:
                _check_sizes(operator, tensor)

    def _graph(self, view: memoryview, depth: int) -> None:
        if depth > _DEEPEST:
            raise MalformedError(f"has graphs inside of graphs, {depth} deep; allowed: {_DEEPEST}")
        for field, value in fields(view):
            if field == 1:
                self._node(message(value), depth)
            elif field == 5:
                tensor = read_tensor(message(value), self._data)
                self._constants[tensor.name] = tensor
            elif field == 15:
                raise MalformedError("holds a sparse tensor; allowed: dense ones")

    def _node(self, view: memoryview, depth: int) -> None:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise MalformedError(f"has more than {_MOST_NODES} nodes")
        found = grouped(view)
        inputs, outputs = ([text(value) for value in found.get(field, ())] for field in (1, 2))
        operator, domain = last_text(found.get(4)), last_text(found.get(7))
        _check_operator(domain, operator)
        if (place := _SIZES.get(operator, len(inputs))) < len(inputs):
            self._sizes.append((operator, inputs[place]))
        for attribute in found.get(5, ()):
            for tensor in self._attribute(message(attribute), depth):
                if operator == "Constant" and outputs:
                    self._constants[outputs[0]] = tensor

    def _attribute(self, view: memoryview, depth: int) -> Iterator[Tensor]:
        """Yield the tensors of an attribute, checked; check the graphs in it."""
        found = grouped(view)
        _check_numbers(found)
        if 22 in found or 23 in found:
            raise MalformedError("holds a sparse tensor; allowed: dense ones")
        for graph in (*found.get(6, ()), *found.get(11, ())):
            self._graph(message(graph), depth + 1)
        for tensor in (*found.get(5, ()), *found.get(10, ())):
            yield read_tensor(message(tensor), self._data)


def _check_numbers(found: dict[int, list[Value]]) -> None:
    """Refuse numbers by which ONNX Runtime divides as soon as it opens the graph."""
    if (name := last_text(found.get(1))) in _POSITIVE:
        for value in (*found.get(3, ()), *(one for values in found.get(8, ()) for one in varints(values))):
            if not 0 < number(value) <= _MOST_ELEMENTS:
                raise MalformedError(f"has {number(value)} among {name}; allowed: 1 to {_MOST_ELEMENTS}")


def _check_operator(domain: str, operator: str) -> None:
    known = operator not in REFUSED if domain in _STANDARD else domain == _MICROSOFT and operator in CONTRIBUTED
    if not known:
        shown = f"{domain[:40]}::{operator[:40]}" if domain else operator[:40]
        raise MalformedError(f"uses the operator {shown!r}; allowed: {_allowed(domain)}")


def _allowed(domain: str) -> str:
    if domain in _STANDARD:
        return "those of the standard but " + ", ".join(sorted(REFUSED))
    return f"those of the standard, and of {_MICROSOFT} " + ", ".join(sorted(CONTRIBUTED))


def _check_sizes(operator: str, tensor: Tensor) -> None:
    """Refuse what would be made when the graph is opened: constants are computed then."""
    if (values := tensor.whole_numbers()) and prod(max(1, abs(value)) for value in values) > _MOST_ELEMENTS:
        raise MalformedError(f"makes a tensor of {list(values)[:8]} by {operator}; allowed: {_MOST_ELEMENTS} elements")
