"""The products of a graph: every multiplication of values by a constant matrix, grouped by the value they multiply.

A table that is read row by row and multiplies too (tied embedding and head) is one tensor; its readers are listed with
the product. Knows operators, and nothing about models or how a product may be rounded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from onnx import GraphProto, NodeProto

from export.quantize.constants import Constants, Floats, bodies, nodes
from export.quantize.recurrent import is_plain


@dataclass(frozen=True, slots=True)
class Product:
    """`output = input @ weights (+ bias)`.

    Attributes:
        input, output: names of values; `input` is [..., K], `output` [..., N].
        weight: name of the constant.
        across: whether the constant lies [N, K] and not [K, N].
        bias: name of the constant [N] that is added, or "".
        looked_up: whether rows of the constant are read by Gather as well.
    """

    input: str
    output: str
    weight: str
    across: bool = False
    bias: str = ""
    looked_up: bool = False

    def weights(self, constants: Constants) -> Floats:
        """Return the weights [K, N] float32, not to be written to."""
        matrix = constants.floats(self.weight)
        return matrix.T if self.across else matrix


@dataclass(frozen=True, slots=True)
class Group:
    """Products of one graph that multiply the same value, or one recurrent operator.

    Attributes:
        name: of the value, or of the recurrent operator's first output.
        products: empty for a recurrent operator.
        inner: whether they stand in the body of a loop, whose values cannot be looked at from outside.
        matrices: names of the constants that are multiplied.
    """

    name: str
    products: tuple[Product, ...]
    inner: bool
    matrices: tuple[str, ...]

    @property
    def looked_up(self) -> bool:
        return any(product.looked_up for product in self.products)


def find_groups(graph: GraphProto) -> list[Group]:
    """Return the groups of `graph` in the order of their nodes, those in bodies of loops included."""
    constants = Constants(graph)
    groups: dict[str, Group] = {}
    _collect(graph, constants, _tables(graph, constants), groups, inner=False)
    return list(groups.values())


def as_product(node: NodeProto, constants: Constants) -> Product | None:
    """Return the product that `node` is, if it is one."""
    if node.op_type not in ("MatMul", "Gemm") or node.domain or node.input[1] not in constants:
        return None
    shape, attributes = constants.shape(node.input[1]), {item.name: item for item in node.attribute}
    # A vector is no matrix, and what is scaled or transposed on the left does not come out of our exporter.
    if len(shape) != 2 or ("transA" in attributes and attributes["transA"].i):
        return None
    if any(attributes[name].f != 1.0 for name in ("alpha", "beta") if name in attributes):
        return None
    bias = node.input[2] if len(node.input) > 2 else ""
    across = "transB" in attributes and bool(attributes["transB"].i)
    if bias and (bias not in constants or constants.shape(bias) != (shape[0] if across else shape[1],)):
        return None
    return Product(node.input[0], node.output[0], node.input[1], across, bias)


def is_lookup(node: NodeProto, constants: Constants) -> bool:
    """Whether `node` reads rows of a constant matrix by number."""
    if node.op_type != "Gather" or node.input[0] not in constants or len(constants.shape(node.input[0])) != 2:
        return False
    return all(attribute.i == 0 for attribute in node.attribute if attribute.name == "axis")


def is_head(group: Group) -> bool:
    """Whether `group` makes the logits, or multiplies by a table that is looked up: of either a call reads few rows."""
    return group.looked_up or any(product.output == "logits" for product in group.products)


def _tables(graph: GraphProto, constants: Constants) -> dict[str, bool]:
    """Return every matrix that is read row by row, and whether the rows are always numbered by a [B, T] input."""
    grids = {value.name for value in graph.input if len(value.type.tensor_type.shape.dim) == 2}
    tables: dict[str, bool] = {}
    for node in nodes(graph):
        if is_lookup(node, constants):
            tables[node.input[0]] = tables.get(node.input[0], True) and node.input[1] in grids
    return tables


def _collect(
    graph: GraphProto, constants: Constants, tables: dict[str, bool], groups: dict[str, Group], *, inner: bool
) -> None:
    for node in graph.node:
        product = as_product(node, constants)
        if product is not None:
            looked_up = product.weight in tables
            if looked_up and not (product.across and tables[product.weight]):
                continue  # its rows are not the columns of the product, or are read in a way that is not known here
            product = replace(product, looked_up=looked_up)
            before = groups.get(product.input)
            products = (*(before.products if before else ()), product)
            matrices = tuple(product.weight for product in products)
            groups[product.input] = Group(product.input, products, inner, matrices)
        elif is_plain(graph, node):
            first = next(name for name in node.output if name)
            groups[first] = Group(first, (), inner, tuple(node.input[1:3]))
        for body in bodies(node):
            _collect(body, constants, tables, groups, inner=True)
