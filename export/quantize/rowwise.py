"""Eight bits for weights and values: each row of a value is rounded by itself, each column of weights by itself.

A row's scale is its own largest value, so no row depends on its neighbours, and integer sums are exact in any order:
the bits of a row are the same in any company. Standard operators only. Knows nothing about which products are rounded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from export.quantize.constants import Constants, Floats
from export.quantize.products import Product

LARGEST = 127
# Scale of a row that is all zeros; far below any that means something.
_LEAST = 1e-9


def rowwise(constants: Constants, product: Product, shared: set[str]) -> list[NodeProto]:
    """Return the nodes that compute `product` in integers.

    shared: inputs that are rounded already, in this scope; completed here.
    """
    made = [] if product.input in shared else _round_rows(constants, product.input)
    shared.add(product.input)
    weight, scale = _weights(constants, product)
    value, output = product.input, product.output
    last = f"{output}.sum" if product.bias else output
    made += [
        helper.make_node("MatMulInteger", [f"{value}.rows", weight, "row_zero"], [f"{output}.integers"]),
        helper.make_node("Cast", [f"{output}.integers"], [f"{output}.floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{output}.floats", scale], [f"{output}.columns"]),
        helper.make_node("Mul", [f"{output}.columns", f"{value}.scale"], [last]),
    ]
    if product.bias:
        made.append(helper.make_node("Add", [last, product.bias], [output]))
    return made


def look_up(constants: Constants, product: Product, lookup: NodeProto) -> list[NodeProto]:
    """Return the nodes that read rows of the table of `product`.

    From a copy of its own: in the product's form, which the product packs anew anyway, a row is a column, with each of
    its numbers on another page of memory.
    """
    weight, scale = _weights(constants, product)
    rows = constants.add(f"{weight}.rows", np.ascontiguousarray(constants.read(weight).T))
    tokens, output = lookup.input[1], lookup.output[0]
    axes = constants.add("last_axis", np.array([-1], np.int64))
    return [
        helper.make_node("Gather", [rows, tokens], [f"{output}.integers"]),  # [B, T, K]
        helper.make_node("Cast", [f"{output}.integers"], [f"{output}.floats"], to=TensorProto.FLOAT),
        helper.make_node("Gather", [scale, tokens], [f"{output}.scales"]),
        helper.make_node("Unsqueeze", [f"{output}.scales", axes], [f"{output}.scale"]),
        helper.make_node("Mul", [f"{output}.floats", f"{output}.scale"], [output]),
    ]


def round_columns(weights: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Round weights [K, N] to integers from -127 to 127 with a scale [N] for each column."""
    scale = np.maximum(np.abs(weights).max(axis=0) / LARGEST, np.float32(1e-12)).astype(np.float32)
    return np.rint(weights / scale).astype(np.int8), scale


def rounded(values: Floats) -> Floats:
    """Return values [R, K] as the graph rounds them, as floats: what an integer product would see."""
    scale = np.maximum(np.abs(values).max(axis=1, keepdims=True), np.float32(_LEAST)) * np.float32(1 / LARGEST)
    steps: Floats = np.rint(values / scale) * scale
    return steps


def round_both(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return values [R, K] and weights [K, N] as an integer product sees them, as floats."""
    integers, scale = round_columns(weights)
    return rounded(values), integers * scale


def _round_rows(constants: Constants, value: str) -> list[NodeProto]:
    axes = constants.add("last_axis", np.array([-1], np.int64))
    least = constants.add("row_least", np.float32(_LEAST))
    step = constants.add("row_step", np.float32(1 / LARGEST))
    one = constants.add("row_one", np.float32(1))
    zero = constants.add("row_zero", np.uint8(128))
    return [
        helper.make_node("Abs", [value], [f"{value}.sizes"]),
        helper.make_node("ReduceMax", [f"{value}.sizes", axes], [f"{value}.largest"], keepdims=1),
        helper.make_node("Max", [f"{value}.largest", least], [f"{value}.not_zero"]),
        helper.make_node("Mul", [f"{value}.not_zero", step], [f"{value}.scale"]),
        helper.make_node("Div", [value, f"{value}.scale"], [f"{value}.scaled"]),
        helper.make_node("QuantizeLinear", [f"{value}.scaled", one, zero], [f"{value}.rows"]),
    ]


def _weights(constants: Constants, product: Product) -> tuple[str, str]:
    """Add the weights of `product` in integers [K, N] and the scales of their columns [N]; return their names."""
    weight, scale = f"{product.weight}.int8", f"{product.weight}.scale"
    if weight not in constants:
        integers, scales = round_columns(product.weights(constants))
        constants.add(weight, np.ascontiguousarray(integers))
        constants.add(scale, scales)
    return weight, scale
