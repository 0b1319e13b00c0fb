"""Prompts by products of their own: one graph of two, of which a call computes one, and what both have in common.

A form that reads few bytes is fast for a token, and another is for many tokens at once. Which of the two a token gets
depends on its own row alone: one token behind a past is decoded, everything else is a prompt. So the bits of a row stay
what they are in any company, as far as the two graphs keep them. Knows nothing about forms or models.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from export.branches import readers
from export.quantize.constants import Constants, bodies, nodes, replace_nodes

# What values are called that exist in graphs for prompts alone.
_OURS = "prompts"


def join(decode: ModelProto, prompts: ModelProto, counter: str) -> ModelProto:
    """Return a graph that computes `decode` for a call of one token for rows that all have a past, else `prompts`.

    Both have the same inputs and outputs. counter: the input int64 [B] that tells how many tokens a row has consumed.
    """
    joined, other = ModelProto(), ModelProto()
    joined.CopyFrom(decode)
    other.CopyFrom(prompts)
    graph = joined.graph
    _tell_apart(other.graph, graph)
    before = _before(graph, other.graph)
    behind = _behind(graph, other.graph, before)
    shared = {*before, *behind}
    sides = {
        side: [node for node in part.node if _key(node) not in shared]
        for side, part in (("decode", graph), (_OURS, other.graph))
    }
    wanted = _wanted(graph, sides["decode"], behind)
    if not wanted:
        return joined
    bodies = {side: _body(side, inside, wanted) for side, inside in sides.items()}
    asked = _questions(Constants(graph), counter)
    chosen = helper.make_node("If", [asked[-1].output[0]], list(wanted), name="decodes_or_prompts",
                              then_branch=bodies["decode"], else_branch=bodies[_OURS])  # fmt: skip
    first = [node for node in graph.node if _key(node) in before]
    last = [node for node in graph.node if _key(node) in behind]
    replace_nodes(graph, [*first, *asked, chosen, *last])
    _settle(graph, other.graph)
    return joined


def _tell_apart(graph: GraphProto, other: GraphProto) -> None:
    """Give each constant of `graph` that `other` has with other content a name of its own."""
    theirs = {tensor.name: tensor for tensor in other.initializer}
    changed = [each for each in graph.initializer if each.name in theirs and each != theirs[each.name]]
    names = {tensor.name: f"{tensor.name}.{_OURS}" for tensor in changed}
    for tensor in changed:
        tensor.name = names[tensor.name]
    for node in nodes(graph):
        node.input[:] = [names.get(name, name) for name in node.input]


def _key(node: NodeProto) -> bytes:
    return node.SerializeToString(deterministic=True)


def _alike(graph: GraphProto, other: GraphProto) -> set[bytes]:
    """Return the nodes, without bodies, that both have, with the same names for their values."""
    return {_key(node) for node in graph.node if not any(bodies(node))} & {_key(node) for node in other.node}


def _before(graph: GraphProto, other: GraphProto) -> set[bytes]:
    """Return the nodes of both that need nothing of what only one has."""
    there = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer} | {""}
    alike = _alike(graph, other)
    found: set[bytes] = set()
    for node in graph.node:
        if _key(node) in alike and there.issuperset(node.input):
            found.add(_key(node))
            there.update(node.output)
    return found


def _behind(graph: GraphProto, other: GraphProto, before: Collection[bytes]) -> set[bytes]:
    """Return the nodes of both that nothing needs of what only one has."""
    alike = _alike(graph, other)
    found: set[bytes] = set()
    both = [readers(list(part.node)) for part in (graph, other)]
    for node in reversed(graph.node):
        by = {_key(reader) for of in both for name in node.output if name for reader in of.get(name, ())}
        if _key(node) in alike and _key(node) not in before and by <= found:
            found.add(_key(node))
    return found


def _wanted(graph: GraphProto, inside: Iterable[NodeProto], behind: Collection[bytes]) -> dict[str, int]:
    """Return the types of what `inside` makes that is an output or read by `behind`, which reads numbers in float32."""
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.output}
    read = {name for node in graph.node if _key(node) in behind for name in node.input}
    made = [name for node in inside for name in node.output if name]
    return {name: kinds.get(name, TensorProto.FLOAT) for name in made if name in read or name in kinds}


def _body(side: str, inside: Iterable[NodeProto], wanted: Mapping[str, int]) -> GraphProto:
    """Return the graph of one side; its outputs have names of their own, as they may be none of an outer value."""
    names = {name: f"{name}.{side}" for name in wanted}
    made = []
    for node in inside:
        copy = NodeProto.FromString(_key(node))
        for each in (copy, *(inner for body in bodies(copy) for inner in nodes(body))):
            each.input[:] = [names.get(name, name) for name in each.input]
        copy.output[:] = [names.get(name, name) for name in copy.output]
        made.append(copy)
    values = [helper.make_tensor_value_info(names[name], kind, None) for name, kind in wanted.items()]
    return helper.make_graph(made, side, [], values)


def _questions(constants: Constants, counter: str) -> list[NodeProto]:
    """Return the nodes that ask whether a call is a decode step, the answer last."""
    one = constants.add("decode_width", np.int64(1))
    return [
        helper.make_node("ReduceMin", [counter], ["least_past"], keepdims=0),
        helper.make_node("Shape", ["tokens"], ["call_width"], start=1, end=2),
        helper.make_node("Squeeze", ["call_width"], ["call_tokens"]),
        helper.make_node("GreaterOrEqual", ["least_past", one], ["has_past"]),
        helper.make_node("Equal", ["call_tokens", one], ["is_one"]),
        helper.make_node("And", ["has_past", "is_one"], ["decodes"]),
    ]


def _settle(graph: GraphProto, other: GraphProto) -> None:
    """Put each constant where it is read: into the body of one side, or outside where both or what they share do."""
    (chosen,) = (node for node in graph.node if node.name == "decodes_or_prompts")
    outside = {name for node in graph.node for name in node.input}
    bodies = [item.g for item in chosen.attribute]
    read = [{name for node in nodes(body) for name in node.input} for body in bodies]
    tensors = {tensor.name: tensor for tensor in (*other.initializer, *graph.initializer)}
    kept = [tensor for name, tensor in tensors.items() if name in outside or all(name in names for names in read)]
    elsewhere = {tensor.name for tensor in kept}
    for body, names in zip(bodies, read, strict=True):
        body.initializer.extend(tensors[name] for name in tensors if name in names and name not in elsewhere)
    copies = [TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    del graph.initializer[:]
    graph.initializer.extend(copies)
