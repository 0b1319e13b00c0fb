"""Values of which a graph computes only one: `Either` becomes an `If`, with what only one side needs inside of it.

Works on operators, wherever they occur: it knows nothing about models.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import onnx
from onnx import GraphProto, NodeProto, ValueInfoProto, helper

from export.quantize.constants import bodies, nodes, replace_nodes
from training.models.either import DOMAIN, EITHER

# What `without_branches` knows them by.
_PREFIX = "either_"


def branch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make an `If` of every `Either` of `model`, in place. The types of their values must be noted in it."""
    graph = model.graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}
    order = list(graph.node)
    choosers = [node for node in order if node.domain == DOMAIN and node.op_type == EITHER]
    for number, chooser in enumerate(choosers):
        name, (condition, *sides) = f"{_PREFIX}{number}", chooser.input
        insides = [_exclusive(order, graph.output, chooser, side) for side in sides]
        branches: dict[str, Any] = {
            f"{part}_branch": _body(f"{name}_{part}", inside, side, types[chooser.output[0]])
            for part, inside, side in zip(("then", "else"), insides, sides, strict=True)
        }
        made = helper.make_node("If", [condition], chooser.output, name=name, **branches)
        moved = {id(node) for inside in insides for node in inside}
        order = [made if node is chooser else node for node in order if id(node) not in moved]
    if choosers:
        replace_nodes(graph, order)
    kept_domains = [entry for entry in model.opset_import if entry.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept_domains)
    return model


def without_branches(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of `model` in which every `If` that was an `Either` always computes its second side."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    made: list[NodeProto] = []
    for node in plain.graph.node:
        if node.op_type == "If" and node.name.startswith(_PREFIX):
            body = next(item.g for item in node.attribute if item.name == "else_branch")
            made += [*body.node, helper.make_node("Identity", [body.output[0].name], node.output)]
        else:
            made.append(node)
    replace_nodes(plain.graph, made)
    return plain


def _exclusive(
    order: list[NodeProto], outputs: Iterable[ValueInfoProto], chooser: NodeProto, side: str
) -> list[NodeProto]:
    """Return, in order, the nodes that only `side`, an input of `chooser`, needs. outputs: of the graph."""
    of = readers(order)
    kept = {value.name for value in outputs}
    inside: dict[int, NodeProto] = {}

    def is_exclusive(name: str) -> bool:
        allowed = all(id(reader) in inside or (reader is chooser and name == side) for reader in of[name])
        return allowed and name not in kept

    for node in reversed(order):
        if any(map(of.__contains__, node.output)) and all(map(is_exclusive, filter(None, node.output))):
            inside[id(node)] = node
    return list(reversed(inside.values()))


def readers(order: Iterable[NodeProto]) -> Mapping[str, list[NodeProto]]:
    """Return for every value the nodes of the outermost graph that read it, by themselves or in a body."""
    found: defaultdict[str, list[NodeProto]] = defaultdict(list)
    for node in order:
        inner = [name for body in bodies(node) for each in nodes(body) for name in each.input]
        for name in (*node.input, *inner):
            found[name].append(node)
    return found


def _body(name: str, inside: list[NodeProto], side: str, kind: int) -> GraphProto:
    """Return a graph that computes `side`; what is computed outside is handed on."""
    made, output = list(inside), side
    if all(side not in node.output for node in inside):
        output = f"{name}_output"
        made.append(helper.make_node("Identity", [side], [output]))
    return helper.make_graph(made, name, [], [helper.make_tensor_value_info(output, kind, None)])
