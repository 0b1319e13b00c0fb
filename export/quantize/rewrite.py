"""A graph with its products in other forms: the nodes of each product replaced, the tables they share replaced with them.

Knows nothing about which form is good for which product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onnx import GraphProto, ModelProto, NodeProto

from export.quantize import blocks, rowwise
from export.quantize.constants import Constants, bodies, replace_nodes
from export.quantize.products import Product, as_product, find_groups, is_lookup

MICROSOFT = "com.microsoft"


@dataclass(frozen=True, slots=True)
class Form:
    """How products are computed.

    Attributes:
        product: makes the nodes of a product; it is told, and completes, which values are rounded already.
        look_up: makes the nodes that read rows of a product's table; None where tables do not go into this form.
    """

    product: Callable[[Constants, Product, set[str]], list[NodeProto]]
    look_up: Callable[[Constants, Product, NodeProto], list[NodeProto]] | None = None


# By name, from coarse to fine; "full" is float32, as it was.
FULL = "full"
FORMS: dict[str, Form] = {
    "rowwise": Form(rowwise.rowwise, rowwise.look_up),
    "blocks8": Form(blocks.eight_bits, blocks.look_up),
}


def rewrite(model: ModelProto, forms: Mapping[str, str]) -> ModelProto:
    """Return a copy of `model` in which each group, by its name, has the form that `forms` names ("full": as it is)."""
    changed = ModelProto.FromString(model.SerializeToString())
    constants = Constants(changed.graph)
    products = {
        product.output: (product, FORMS[forms[group.name]])
        for group in find_groups(changed.graph)
        if forms.get(group.name, FULL) != FULL
        for product in group.products
    }
    tables = {product.weight: (product, form) for product, form in products.values() if product.looked_up}
    _rewrite(changed.graph, constants, products, tables)
    constants.sweep()
    if all(entry.domain != MICROSOFT for entry in changed.opset_import):
        changed.opset_import.add(domain=MICROSOFT, version=1)
    return changed


Chosen = Mapping[str, tuple[Product, Form]]


def _rewrite(graph: GraphProto, constants: Constants, products: Chosen, tables: Chosen) -> None:
    made: list[NodeProto] = []
    shared: set[str] = set()
    for node in graph.node:
        for body in bodies(node):
            _rewrite(body, constants, products, tables)
        if node.output[0] in products and as_product(node, constants):
            product, form = products[node.output[0]]
            made += form.product(constants, product, shared)
        elif is_lookup(node, constants) and node.input[0] in tables:
            product, form = tables[node.input[0]]
            assert form.look_up is not None
            made += form.look_up(constants, product, node)
        else:
            made.append(node)
    replace_nodes(graph, made)
