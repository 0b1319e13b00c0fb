"""A graph in float16, for devices that compute in it: weights, states and the arithmetic between them.

Precision flows with the values: an operator computes in half precision as soon as one of its inputs is a half one or
all of them are weights. Positions and counts, made from integers, stay in single precision until they meet one. Single
precision is also kept where half is too coarse or lacks a kernel: long sums, roots and powers of norms written out,
recurrences, whatever has a body, and the order of the largest logits. Fused norms sum in single precision by
themselves. Works on operators: it knows nothing about models.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from export.branches import without_branches
from export.clean import clean

KEPT = frozenset({"logits", "top_values"})

_SINGLE = frozenset(
    {"LSTM", "GRU", "RNN", "TopK", "Range", "CumSum", "ScatterElements", "Exp", "Log", "Pow", "Sqrt", "Reciprocal"}
    | {f"Reduce{name}" for name in ("Sum", "Mean", "SumSquare", "L2", "LogSum", "LogSumExp")}
)
_TYPES = {"half": TensorProto.FLOAT16, "single": TensorProto.FLOAT}
_LARGEST = float(np.finfo(np.float16).max)


def to_half(model: onnx.ModelProto, kept: Collection[str] = KEPT) -> onnx.ModelProto:
    """Return `model` in float16; its float32 inputs and outputs become float16 but for those in `kept`.

    Finite weights beyond the range of float16 become its largest number.
    """
    model = without_branches(model)
    half = onnx.ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    rewriter = _Rewriter(graph, _floats(model), kept)
    nodes = [made for node in model.graph.node for made in rewriter.rewrite(node)]
    del graph.node[:]
    graph.node.extend(nodes)
    _keep_read(graph)
    return clean(half)


class _Rewriter:
    """Goes over the nodes in order; knows for each float value under which names it is there in which precision."""

    def __init__(self, graph: GraphProto, floats: set[str], kept: Collection[str]) -> None:
        self.graph = graph
        self.floats = floats
        self.weights = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
        self.names = {name: {"single": name} for name in self.weights}
        self.outputs: dict[str, str] = {}
        for value in [*graph.input, *graph.output]:
            kind = value.type.tensor_type
            if kind.elem_type == TensorProto.FLOAT and value.name not in kept:
                kind.elem_type = TensorProto.FLOAT16
        for value in graph.input:
            if value.name in floats:
                self.names[value.name] = {self._declared(value): value.name}
        for value in graph.output:
            if value.name in floats:
                self.outputs[value.name] = self._declared(value)

    def rewrite(self, node: NodeProto) -> list[NodeProto]:
        """Return `node` in its precision, with what casts its inputs before it and its outputs behind it."""
        made = NodeProto.FromString(node.SerializeToString())
        precision = self._precision(node)
        casts: list[NodeProto] = []
        for scope in [made, *_inside(made)]:
            for index, name in enumerate(scope.input):
                if name in self.names:
                    scope.input[index] = self._read(name, precision, casts)
        behind: list[NodeProto] = []
        for index, name in enumerate(node.output):
            if name in self.floats:
                made.output[index] = self._write(name, precision, behind)
        return [*casts, made, *behind]

    def _precision(self, node: NodeProto) -> str:
        """The precision in which `node` computes."""
        to = next((attribute.i for attribute in node.attribute if attribute.name == "to"), None)
        if node.op_type in _SINGLE or any(True for _ in _inside(node)) or to == TensorProto.FLOAT:
            return "single"
        read = [name for name in node.input if name in self.names]
        made = [name for name in read if name not in self.weights]
        return "half" if read and (not made or any("half" in self.names[name] for name in made)) else "single"

    def _read(self, name: str, precision: str, casts: list[NodeProto]) -> str:
        """Return the name of value `name` in `precision`, made from what is there if it is not."""
        names = self.names[name]
        if precision not in names:
            names[precision] = f"{name}_{precision}"
            if name in self.weights:
                self.graph.initializer.append(_halved(self.weights[name], names[precision]))
            else:
                (given,) = [there for kind, there in names.items() if kind != precision]
                casts.append(_cast(given, names[precision], precision))
        return names[precision]

    def _write(self, name: str, precision: str, casts: list[NodeProto]) -> str:
        """Return the name under which a node gives value `name`; an output of the graph keeps its own."""
        declared = self.outputs.get(name, precision)
        self.names[name] = {declared: name}
        if declared != precision:
            self.names[name][precision] = f"{name}_{precision}"
            casts.append(_cast(f"{name}_{precision}", name, declared))
        return self.names[name][precision]

    @staticmethod
    def _declared(value: onnx.ValueInfoProto) -> str:
        return "half" if value.type.tensor_type.elem_type == TensorProto.FLOAT16 else "single"


def _floats(model: onnx.ModelProto) -> set[str]:
    """Return the names of all float32 values of the graph but weights."""
    # Only types are wanted: without the numbers of large weights, which may be more than a message holds.
    bare = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = bare.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            graph.input.append(helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, list(tensor.dims)))
        else:
            graph.initializer.append(tensor)
    inferred = onnx.shape_inference.infer_shapes(bare).graph
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in [*inferred.input, *inferred.value_info, *inferred.output]
    }
    for node in model.graph.node:
        for name in filter(None, node.output):  # of operators that inference does not know: as what they read first
            if not types.get(name):
                types[name] = types.get(node.input[0], 0) if node.input else 0
    return {name for name, kind in types.items() if kind == TensorProto.FLOAT}


def _inside(node: NodeProto) -> Iterator[NodeProto]:
    """Yield the nodes of all bodies of `node`."""
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield inner
            yield from _inside(inner)


def _cast(given: str, made: str, precision: str) -> NodeProto:
    return helper.make_node("Cast", [given], [made], name=f"cast_{made}", to=_TYPES[precision])


def _halved(tensor: TensorProto, name: str) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    finite = np.clip(values, -_LARGEST, _LARGEST)
    return numpy_helper.from_array(np.where(np.isinf(values), values, finite).astype(np.float16), name)


def _keep_read(graph: GraphProto) -> None:
    """Drop weights that no node reads."""
    read = {name for node in graph.node for scope in (node, *_inside(node)) for name in scope.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    copies = [TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    del graph.initializer[:]
    graph.initializer.extend(copies)
