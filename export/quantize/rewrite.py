"""A graph with its products in other forms: the nodes of each product replaced, and those that read its table.

Either for good, or with every form beside each other and an input that chooses. Knows nothing about which form is good
for which product.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from export.quantize import blocks, rowwise, spare, tables
from export.quantize.constants import Constants, bodies, replace_nodes
from export.quantize.inward import inward
from export.quantize.products import Group, Product, find_groups, is_lookup
from export.quantize.recurrent import rowwise_recurrent
from export.residual import declare

CHOICES = "choices"


@dataclass(frozen=True, slots=True)
class Form:
    """How products are computed.

    Attributes:
        bits: about what a weight costs, its share of scales and of further operators included.
        product: makes the nodes of a product; it is told, and completes, which values are rounded already.
        look_up: makes the nodes that read rows of a product's table; None: no table goes into this form.
        fits: tells whether the weights of a product can have this form; None: all can.
    """

    bits: int
    product: Callable[[Constants, Product, set[str]], list[NodeProto]]
    look_up: Callable[[Constants, Product, NodeProto], list[NodeProto]] | None = None
    fits: Callable[[Constants, Product], bool] | None = None

    def takes(self, group: Group, constants: Constants) -> bool:
        """Whether every product of `group` can have this form."""
        fits = self.fits
        allowed = self.look_up is not None or not group.looked_up
        return allowed and (fits is None or all(fits(constants, product) for product in group.products))


# By name, from coarse to fine; "full" is float32, as it was.
FULL = "full"
FULL_BITS = 32
FORMS: dict[str, Form] = {
    "blocks4": Form(5, blocks.four_bits, tables.look_up_four),
    "levels4": Form(6, blocks.on_levels, fits=blocks.has_levels),
    "rowwise": Form(8, rowwise.rowwise, rowwise.look_up),
    "blocks8": Form(9, blocks.eight_bits, tables.look_up_eight),
}


def ladder_of(group: Group, forms: Sequence[str], constants: Constants) -> tuple[str, ...]:
    """Return those of `forms` that `group` can have. A recurrent operator has one, whatever products have."""
    if not group.products:
        return ("rowwise",)
    return tuple(form for form in forms if FORMS[form].takes(group, constants))


def rewrite(model: ModelProto, forms: Mapping[str, str]) -> ModelProto:
    """Return a copy of `model` in which each group, by its name, has the form that `forms` names ("full": as it is)."""
    changed = ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    constants = Constants(graph)
    groups = [group for group in find_groups(graph) if forms.get(group.name, FULL) != FULL]
    makers = _makers(groups)
    tables = {
        product.weight: (product, FORMS[forms[group.name]])
        for group in groups
        for product in group.products
        if product.looked_up
    }

    def change(node: NodeProto, shared: set[str]) -> list[NodeProto]:
        if node.output and node.output[0] in makers:
            group, product = makers[node.output[0]]
            return _nodes(graph, constants, forms[group.name], product, node, shared)
        if is_lookup(node, constants) and node.input[0] in tables:
            product, form = tables[node.input[0]]
            assert form.look_up is not None
            return form.look_up(constants, product, node)
        return [node]

    _replace(graph, change)
    spare.count(graph, constants)
    Constants(graph).sweep()
    inward(graph)
    declare(changed)
    return changed


def selectable(model: ModelProto, ladders: Mapping[str, Sequence[str]]) -> ModelProto:
    """Return a copy of `model` with a further input, `choices` int64 [groups], in the order of `ladders`.

    Where a group's choice is n, its products are computed in the nth form of its ladder; beyond the last, in full.
    Lookups stay as they are.
    """
    changed = ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    constants = Constants(graph)
    groups = [group for group in find_groups(graph) if group.name in ladders]
    makers = _makers(groups)
    order = list(ladders)

    def change(node: NodeProto, shared: set[str]) -> list[NodeProto]:
        if not node.output or node.output[0] not in makers:
            return [node]
        group, product = makers[node.output[0]]
        return [_choice(graph, constants, (group, product, node), ladders[group.name], order.index(group.name), 0)]

    _replace(graph, change)
    questions = _questions(constants, ladders)
    replace_nodes(graph, [*questions, *graph.node])
    spare.count(graph, constants)
    inward(graph)
    graph.input.append(helper.make_tensor_value_info(CHOICES, TensorProto.INT64, [len(order)]))
    declare(changed)
    return changed


Maker = tuple[Group, Product | None]


def _makers(groups: Sequence[Group]) -> dict[str, Maker]:
    """Return groups and products by the first output of the node that computes them."""
    found: dict[str, Maker] = {}
    for group in groups:
        for product in group.products:
            found[product.output] = (group, product)
        if not group.products:
            found[group.name] = (group, None)
    return found


def _nodes(
    graph: GraphProto, constants: Constants, form: str, product: Product | None, node: NodeProto, shared: set[str]
) -> list[NodeProto]:
    """Return the nodes that compute what `node` does in another form."""
    if product is None:
        return rowwise_recurrent(graph, node)
    return FORMS[form].product(constants, product, shared)


def _choice(
    graph: GraphProto,
    constants: Constants,
    made: tuple[Group, Product | None, NodeProto],
    ladder: Sequence[str],
    place: int,
    rung: int,
) -> NodeProto:
    """Return an If that computes `made` in the form at `rung` of its ladder, or in a finer one."""
    group, product, node = made
    outputs = [name for name in node.output if name]
    copy = NodeProto.FromString(node.SerializeToString())
    branches = []
    for kind in (ladder[rung], "finer"):
        renamed = {name: f"{name}.{rung}.{kind}" for name in outputs}
        copy.output[:] = [renamed.get(name, "") for name in node.output]
        copy.name = f"{node.name}.{rung}.{kind}"
        if kind != "finer":
            moved = replace(product, output=copy.output[0]) if product else None
            body = _nodes(graph, constants, kind, moved, copy, set())
        elif rung + 1 < len(ladder):
            body = [_choice(graph, constants, (group, product, copy), ladder, place, rung + 1)]
        else:
            body = [NodeProto.FromString(copy.SerializeToString())]
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in renamed.values()]
        branches.append(helper.make_graph(body, kind, [], values))
    condition = f"{CHOICES}.{place}.{rung}"
    return helper.make_node("If", [condition], outputs, then_branch=branches[0], else_branch=branches[1])


def _questions(constants: Constants, ladders: Mapping[str, Sequence[str]]) -> list[NodeProto]:
    """Return the nodes that tell for each group and rung whether it was chosen."""
    asked = []
    for place, ladder in enumerate(ladders.values()):
        index = constants.add(f"{CHOICES}.{place}.index", np.int64(place))
        asked.append(helper.make_node("Gather", [CHOICES, index], [f"{CHOICES}.{place}"]))
        for rung in range(len(ladder)):
            number = constants.add(f"{CHOICES}.number.{rung}", np.int64(rung))
            asked.append(helper.make_node("Equal", [f"{CHOICES}.{place}", number], [f"{CHOICES}.{place}.{rung}"]))
    return asked


def _replace(
    graph: GraphProto, change: Callable[[NodeProto, set[str]], list[NodeProto]], outer: Collection[str] = ()
) -> None:
    """Replace nodes, those of bodies first; a body sees the values that were rounded around it."""
    made: list[NodeProto] = []
    shared = set(outer)
    for node in graph.node:
        for body in bodies(node):
            _replace(body, change, shared)
        made += change(node, shared)
    replace_nodes(graph, made)
