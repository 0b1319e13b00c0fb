"""Weights in 8 bits inside the body that multiplies them.

On processors whose products of unsigned and signed bytes saturate, ONNX Runtime makes weights unsigned, when told to be
exact (`bundle.device`), but only those that belong to the graph of the product itself, and not to one around it. Works
on operators: it knows nothing about models.
"""

from __future__ import annotations

from collections import defaultdict

from onnx import GraphProto

from export.quantize.constants import bodies

_OPERATOR, _WEIGHT = "MatMulInteger", 1


def inward(graph: GraphProto) -> None:
    """Move each constant that only products of one body of `graph` multiply by into that body."""
    readers: dict[str, list[GraphProto]] = defaultdict(list)
    multiplied = _multiplied(graph, readers)
    for tensor in [tensor for tensor in graph.initializer if tensor.name in multiplied]:
        body, *others = readers[tensor.name]
        if body is not graph and all(other is body for other in others):
            body.initializer.append(tensor)
            graph.initializer.remove(tensor)


def _multiplied(graph: GraphProto, readers: dict[str, list[GraphProto]]) -> set[str]:
    """Return the names of the weights of all products in `graph`; add each node's graph to `readers` by its inputs."""
    found = set()
    for node in graph.node:
        for name in node.input:
            readers[name].append(graph)
        if node.op_type == _OPERATOR:
            found.add(node.input[_WEIGHT])
        for body in bodies(node):
            found |= _multiplied(body, readers)
    return found
