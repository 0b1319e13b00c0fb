"""The constant tensors of a graph by name: read as arrays, changed, added, and taken out where nothing reads them.

Knows nothing about what they mean.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, numpy_helper

Floats = NDArray[np.float32]


class Constants:
    """The initializers of a model's outermost graph; bodies of loops read them from there."""

    def __init__(self, graph: GraphProto) -> None:
        self._graph = graph
        self._places = {tensor.name: index for index, tensor in enumerate(graph.initializer)}

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._graph.initializer[self._places[name]].dims)

    def read(self, name: str) -> NDArray[np.generic]:
        """Return the tensor, not to be written to."""
        array: NDArray[np.generic] = numpy_helper.to_array(self._graph.initializer[self._places[name]])
        return array

    def floats(self, name: str) -> Floats:
        """Return a float32 tensor, not to be written to."""
        array = self.read(name)
        assert array.dtype == np.float32, f"{name} is {array.dtype}"
        return array.view(np.float32)

    def change(self, name: str, array: NDArray[np.generic]) -> None:
        """Put other values in the place of the tensor `name`."""
        self._graph.initializer[self._places[name]].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))

    def add(self, name: str, array: NDArray[np.generic] | np.generic) -> str:
        """Add a tensor unless one of this name is there; return the name."""
        if name not in self._places:
            self._places[name] = len(self._graph.initializer)
            self._graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def sweep(self) -> None:
        """Take out every tensor that no node reads."""
        read = {name for node in nodes(self._graph) for name in node.input}
        unread = [index for name, index in self._places.items() if name not in read]
        for index in sorted(unread, reverse=True):
            del self._graph.initializer[index]
        self._places = {tensor.name: index for index, tensor in enumerate(self._graph.initializer)}


def bodies(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs inside a node (bodies of Scan, Loop, If)."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield every node of `graph` and of the graphs inside its nodes."""
    for node in graph.node:
        yield node
        for body in bodies(node):
            yield from nodes(body)


def initializers(graph: GraphProto) -> Iterator[TensorProto]:
    """Yield every initializer of `graph` and of the graphs inside its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for body in bodies(node):
            yield from initializers(body)


def replace_nodes(graph: GraphProto, replacement: list[NodeProto]) -> None:
    """Make `replacement` the nodes of `graph`; some of them may be in it already."""
    copies = [NodeProto.FromString(node.SerializeToString()) for node in replacement]
    del graph.node[:]
    graph.node.extend(copies)
