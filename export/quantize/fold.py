"""Where factors on the channels of a value can go at no cost: into the constants that made the value.

Follows a value back through operators that are linear in each channel (norms' weights, gates, splits, attention from
its values, biases) to constants that nothing else reads. Knows nothing about why channels are scaled.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto

from export.quantize.constants import Constants, nodes
from export.quantize.products import Group, as_product
from export.residual import JOINED

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fold:
    """Constants that hold the channels of a value.

    Attributes:
        places: name of each constant, the axis of the channels in it, and which place on it each channel has, [K].
            Channels that share a place must have the same factor.
        origin: [K], the same for channels that share their places.
    """

    places: tuple[tuple[str, int, Indices], ...]
    origin: Indices


def unshare(graph: GraphProto, constants: Constants) -> None:
    """Give each reader of a float vector a copy of its own: the exporter keeps equal ones (biases of zeros) once."""
    taken: set[str] = set()
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in constants and len(constants.shape(name)) == 1 and constants.read(name).dtype == np.float32:
                if name in taken:
                    node.input[index] = constants.add(f"{name}.{len(taken)}", constants.read(name).copy())
                taken.add(node.input[index])


class Folder:
    """Finds folds in one graph, as it is now."""

    def __init__(self, graph: GraphProto, constants: Constants, *, in_caches: bool = True) -> None:
        """in_caches: whether factors may also go into what attention keeps, which any other reader of it then meets."""
        self._constants = constants
        self._in_caches = in_caches
        self._makers = {output: node for node in graph.node for output in node.output if output}
        self._readers = Counter(name for node in nodes(graph) for name in node.input)
        self._readers.update(value.name for value in graph.output)

    def find(self, group: Group) -> Fold | None:
        """Return where factors on the value that `group` multiplies can go, or None if nowhere."""
        # Every reader of the value must be in the group, and nothing else may read their weights (lookups apart).
        if group.inner or not group.products or self._readers[group.name] != len(group.products):
            return None
        if any(self._readers[product.weight] != 1 and not product.looked_up for product in group.products):
            return None
        count = group.products[0].weights(self._constants).shape[0]
        places = self._trace(group.name, np.arange(count))
        if places is None:
            return None
        return Fold(tuple(places), places[-1][2])

    def _trace(self, value: str, channels: Indices) -> list[tuple[str, int, Indices]] | None:
        """Return the constants behind `channels` of `value`, of which the last is the first that was made."""
        node = self._makers.get(value)
        if node is None:
            return None
        product = as_product(node, self._constants)
        if product is not None:
            bias = self._vectors([product.bias] if product.bias else [], channels)
            weight = (product.weight, 0 if product.across else 1, channels)
            return None if bias is None or self._readers[product.weight] != 1 else [*bias, weight]
        trace = {
            "RMSNormalization": self._norm, "LayerNormalization": self._norm, **dict.fromkeys(JOINED, self._norm),
            "Mul": self._any, "Add": self._add,
            "Split": self._split, "Relu": self._through, "Gather": self._rows, "Reshape": self._rows,
            "GroupQueryAttention": self._attention,
        }.get(node.op_type)  # fmt: skip
        return trace(node, value, channels) if trace else None

    def _back(self, value: str, channels: Indices) -> list[tuple[str, int, Indices]] | None:
        return self._trace(value, channels) if self._readers[value] == 1 else None

    def _vectors(self, names: list[str], channels: Indices) -> list[tuple[str, int, Indices]] | None:
        for name in names:
            if name not in self._constants or self._readers[name] != 1 or len(self._constants.shape(name)) != 1:
                return None
            if self._constants.shape(name)[0] <= channels.max():
                return None
        return [(name, 0, channels) for name in names]

    def _norm(self, node: NodeProto, value: str, channels: Indices) -> list[tuple[str, int, Indices]] | None:
        if node.output[0] != value or any(item.name == "axis" and item.i != -1 for item in node.attribute):
            return None
        vectors = node.input[2 if node.op_type in JOINED else 1 :]
        return self._vectors([name for name in reversed(vectors) if name], channels)

    def _any(self, node: NodeProto, value: str, channels: Indices) -> list[tuple[str, int, Indices]] | None:
        for name in reversed(node.input):
            if name not in self._constants and (found := self._back(name, channels)) is not None:
                return found
        return None

    def _add(self, node: NodeProto, value: str, channels: Indices) -> list[tuple[str, int, Indices]] | None:
        biases = [name for name in node.input if name in self._constants]
        vectors = self._vectors(biases, channels) if len(biases) == 1 else None
        if vectors is None:
            return None
        behind = self._back(next(name for name in node.input if name not in biases), channels)
        return None if behind is None else [*vectors, *behind]

    def _split(self, node: NodeProto, value: str, channels: Indices) -> list[tuple[str, int, Indices]] | None:
        count, part = len(node.output), list(node.output).index(value)
        sizes = np.full(count, len(channels), np.int64)  # equal parts are as wide as the value that was asked for
        if len(node.input) > 1 and node.input[1] in self._constants:
            sizes = self._constants.read(node.input[1]).astype(np.int64)
        # Along which axis it splits shows in the width: parts of the last one add up to it.
        if self._width(node.input[0]) != sizes.sum() or int(channels.max()) >= sizes[part]:
            return None
        return self._back(node.input[0], channels + int(sizes[:part].sum()))

    def _width(self, value: str) -> int:
        """Return the size of the last axis of what a product gives, with its bias or without; 0 for anything else."""
        node = self._makers.get(value)
        if node is None:
            return 0
        product = as_product(node, self._constants)
        if product is not None:
            return int(product.weights(self._constants).shape[1])
        inner = [name for name in node.input if name not in self._constants]
        return self._width(inner[0]) if node.op_type == "Add" and len(inner) == 1 else 0

    def _through(self, node: NodeProto, value: str, channels: Indices) -> list[tuple[str, int, Indices]] | None:
        return self._back(node.input[0], channels)

    def _rows(self, node: NodeProto, value: str, channels: Indices) -> list[tuple[str, int, Indices]] | None:
        """Go through what moves or picks rows and leaves the last axis as it is."""
        if node.op_type == "Gather":
            kept = all(item.i == 0 for item in node.attribute if item.name == "axis")
        else:
            shape = self._constants.read(node.input[1]) if node.input[1] in self._constants else np.array([0])
            kept = int(shape[-1]) == len(channels) == int(channels.max()) + 1
        return self._back(node.input[0], channels) if kept else None

    def _attention(self, node: NodeProto, value: str, channels: Indices) -> list[tuple[str, int, Indices]] | None:
        """Go to the values that are averaged: one head of them serves several of queries."""
        if not self._in_caches:
            return None
        numbers = {item.name: item.i for item in node.attribute}
        queries, memories = numbers["num_heads"], numbers["kv_num_heads"]
        width = (int(channels.max()) + 1) // queries
        if node.output[0] != value or self._readers[node.input[4]] != 1:
            return None
        behind = (channels // width) // (queries // memories) * width + channels % width
        if not node.input[1]:  # queries, keys and values in one
            return self._back(node.input[0], behind + (queries + memories) * width)
        return self._back(node.input[2], behind)
