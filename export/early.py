"""What is read at a few positions is computed for these alone: rows are picked before, not behind, what makes them.

The head reads the positions that are asked for, one a prompt. Behind the last operator that mixes positions (the last
attention) every one treats each row by itself: products, norms, sums, activations. A whole prompt need not go through
them. Bits stay, as those operators give a row the same in any company; the parity gate measures it.

Works on operators, wherever they occur: it knows nothing about models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, helper

from export.branches import readers
from export.quantize.constants import Constants, replace_nodes
from export.residual import JOINED, shape_of

_PRODUCT = "MatMul"
# Those whose bits depend on where a value lies (`Softplus`, `Log`) are not among them.
_ELEMENTWISE = frozenset({
    "Abs", "Add", "Cast", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Identity",
    "LeakyRelu", "Max", "Min", "Mul", "Neg", "Pow", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sqrt", "Sub", "Sum",
    "Tanh",
})  # fmt: skip
_ALONG_ROWS = frozenset({"LayerNormalization", "RMSNormalization", "Split", *JOINED})
# Of [B, T, width].
_AXES = 3


@dataclass(frozen=True, slots=True)
class _Pick:
    """Where rows are picked: `gather` reads what `flatten` makes of a value [B, T, width]."""

    flatten: NodeProto
    gather: NodeProto


def pick_early(model: onnx.ModelProto) -> onnx.ModelProto:
    """Move the picking of rows before the operators of which nothing else is read, in place, if one is a product.

    The shapes of inner values must be noted in `model`; of those that change they are taken out.
    """
    for number in range(len(_Rows(model.graph).picks())):
        rows = _Rows(model.graph)
        pick = rows.picks()[number]
        late = rows.late(pick)
        if any(node.op_type == _PRODUCT for node in late):
            rows.move(pick, late)
    return model


class _Rows:
    """The rows of all values [B, T, width] of a graph, as it is now."""

    def __init__(self, graph: GraphProto) -> None:
        self._graph = graph
        self._nodes = list(graph.node)
        self._constants = Constants(graph)
        self._shapes = {value.name: shape_of(value) for value in (*graph.input, *graph.value_info)}
        self._readers = readers(self._nodes)
        self._kept = {value.name for value in graph.output}

    def picks(self) -> list[_Pick]:
        """Return where rows of a value are picked and nothing else of it is read."""
        return [
            _Pick(node, self._readers[node.output[0]][0])
            for node in self._nodes
            if node.op_type == "Reshape" and self._flattens(node) and self._is_only_picked(node.output[0])
        ]

    def _flattens(self, node: NodeProto) -> bool:
        shape = self._shapes.get(node.input[0], ())
        wanted = self._constants.read(node.input[1]).tolist() if node.input[1] in self._constants else []
        return len(shape) == _AXES and wanted == [-1, shape[-1]]

    def _is_only_picked(self, flat: str) -> bool:
        by = self._readers[flat]
        gathers = len(by) == 1 and by[0].op_type == "Gather" and by[0].input[0] == flat and flat not in self._kept
        return gathers and all(item.i == 0 for item in by[0].attribute)

    def late(self, pick: _Pick) -> list[NodeProto]:
        """Return, in order, the nodes that treat each row by itself and of which only `pick` reads, in the end."""
        grid = self._shapes[pick.flatten.input[0]][:-1]
        late = {id(pick.flatten)}
        found = []
        for node in reversed(self._nodes):
            by = [reader for name in node.output if name for reader in self._readers.get(name, ())]
            read = bool(by) and all(id(reader) in late for reader in by) and not self._kept & set(node.output)
            if read and self._is_rowwise(node, grid):
                late.add(id(node))
                found.append(node)
        return found[::-1]

    def _is_rowwise(self, node: NodeProto, grid: tuple[str | int, ...]) -> bool:
        """Whether each row of what `node` makes of values [*grid, width] depends on the same row of them alone."""
        given = [name for name in node.input if name and name not in self._constants]
        fixed = [len(self._constants.shape(name)) for name in node.input if name in self._constants]
        shapes = [self._shapes.get(name, ()) for name in (*given, *filter(None, node.output))]
        if not given or any(len(shape) != _AXES or shape[:-1] != grid for shape in shapes):
            return False
        if node.op_type == _PRODUCT:
            return fixed == [2] and node.input[1] in self._constants
        numbers = {item.name: item.i for item in node.attribute}
        along = node.op_type in _ALONG_ROWS and numbers.get("axis", -1) in (-1, _AXES - 1)
        return (along or node.op_type in _ELEMENTWISE) and max(fixed, default=0) <= 1

    def move(self, pick: _Pick, late: Sequence[NodeProto]) -> None:
        """Let `late` compute picked rows [rows, width]; the last of them gives what `pick` gave."""
        made = {name for node in late for name in node.output}
        whole = [name for node in late for name in node.input if name and name not in self._constants]
        names = {name: f"{name}_picked" for name in whole if name not in made}
        moved = list(self._picking(pick, names))
        names[pick.flatten.input[0]] = pick.gather.output[0]
        moved += [_renamed(node, names) for node in late]
        gone = {id(node) for node in (*late, pick.flatten)}
        order: list[NodeProto] = []
        for node in self._nodes:
            order += moved if node is pick.gather else [] if id(node) in gone else [node]
        stale = {*made, pick.flatten.output[0]}
        noted = [value for value in self._graph.value_info if value.name not in stale]
        replace_nodes(self._graph, order)
        del self._graph.value_info[:]
        self._graph.value_info.extend(noted)
        self._constants.sweep()

    def _picking(self, pick: _Pick, names: dict[str, str]) -> Iterator[NodeProto]:
        """Yield the nodes that flatten and pick the rows of each value of `names`, under its new name."""
        for name, picked in names.items():
            flat, shape = f"{name}_flat", np.array([-1, self._shapes[name][-1]], np.int64)
            wanted = self._constants.add(f"{flat}_shape", shape)
            yield helper.make_node("Reshape", [name, wanted], [flat], name=flat)
            yield helper.make_node("Gather", [flat, pick.gather.input[1]], [picked], name=picked, axis=0)


def _renamed(node: NodeProto, names: dict[str, str]) -> NodeProto:
    """Return `node` with other names for its values, and its axis counted from the last."""
    copy = NodeProto.FromString(node.SerializeToString())
    copy.input[:] = [names.get(name, name) for name in node.input]
    copy.output[:] = [names.get(name, name) for name in node.output]
    for item in copy.attribute:
        if item.name == "axis":
            item.i = -1
    return copy
