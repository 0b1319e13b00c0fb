"""Weights in blocks: 32 along the reduction share a scale, in eight bits or in four; MatMulNBits multiplies them.

The operator rounds values to eight bits too, row by row and block by block. Knows nothing about which products are
rounded.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import NodeProto, helper

from export.quantize import spare
from export.quantize.constants import Constants, Floats
from export.quantize.levels import Levels
from export.quantize.products import Product
from export.quantize.rounding import Blocks, round_nearest

BLOCK = 32
_DOMAIN = "com.microsoft"
# The operator computes with integers where the processor is good at it.
_INTEGERS = 4
MIDDLE = 128
_LEAST = 1e-12
# Of the names of codes, scales and zero points.
_PARTS = ("", "_scale", "_zero")


def eight_bits(constants: Constants, product: Product, shared: set[str]) -> list[NodeProto]:
    """Return the nodes that compute `product` with weights of eight bits."""
    return _product(constants, product, stored_eight(constants, product), shared, bits=8)


def four_bits(constants: Constants, product: Product, shared: set[str]) -> list[NodeProto]:
    """Return the nodes that compute `product` with weights of four bits: those added by `add_four`, or the nearest."""
    return _product(constants, product, stored_four(constants, product), shared, bits=4)


def on_levels(constants: Constants, product: Product, shared: set[str]) -> list[NodeProto]:
    """Return the nodes that compute `product` with the weights of `add_levels`: of inputs and of sums of their blocks.

    shared: inputs that have their sums already, in this scope; completed here.
    """
    matrix, value = _summing(len(product.weights(constants))), product.input
    sums, wide = f"{value}.sums", f"{value}.and_sums"
    made: list[NodeProto] = []
    if sums not in shared:
        shared.add(sums)
        name = constants.add(f"block_sums_{len(matrix)}", matrix)
        made.append(helper.make_node("MatMul", [value, name], [sums]))
        made.append(helper.make_node("Concat", [value, sums], [wide], axis=-1))
    moved = replace(product, input=wide)
    return made + _product(constants, moved, _on_levels(product), shared, bits=4, more=matrix.shape[1])


def add_four(constants: Constants, product: Product, rounded: Blocks) -> None:
    """Add weights of four bits, as `four_bits` will read them."""
    _add(constants, _four(product), rounded)


def has_levels(constants: Constants, product: Product) -> bool:
    """Whether `add_levels` has added weights of `product`."""
    return f"{product.weight}.levels4" in constants


def add_levels(constants: Constants, product: Product, levels: Levels) -> None:
    """Add weights of four bits and the rests of their blocks, as `on_levels` will read them."""
    _add(constants, _on_levels(product), levels.extended())


def stored_eight(constants: Constants, product: Product) -> list[str]:
    """Add the weights of `product` in eight bits; return the names of their codes and scales."""
    codes, scales = f"{product.weight}.blocks8", f"{product.weight}.blocks8_scale"
    if codes not in constants:
        blocks = _in_blocks(product.weights(constants)).transpose(2, 0, 1)
        scale = np.maximum(np.abs(blocks).max(axis=-1) / 127, np.float32(_LEAST)).astype(np.float32)
        constants.add(codes, (np.rint(blocks / scale[..., None]) + MIDDLE).astype(np.uint8))
        constants.add(scales, np.ascontiguousarray(scale))
    return [codes, scales]


def stored_four(constants: Constants, product: Product) -> list[str]:
    """Return the names of codes, scales and zero points: those of `add_four`, or of the nearest, added here."""
    if f"{product.weight}.blocks4" not in constants:
        add_four(constants, product, round_nearest(product.weights(constants), BLOCK))
    return _four(product)


def round_both_eight(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return values [R, K] and weights [K, N] as the product of eight bits sees them."""
    return _evenly(values.T).T, _evenly(weights)


def round_both_four(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return values [R, K] and weights [K, N] about as the product of four bits sees them: no range is searched."""
    blocks = _in_blocks(weights)
    low, high = np.minimum(blocks.min(axis=1), 0), np.maximum(blocks.max(axis=1), 0)
    scales = np.maximum((high - low) / 15, np.float32(_LEAST))[:, None]
    zeros = np.rint(-low[:, None] / scales)
    codes = np.clip(np.rint(blocks / scales) + zeros, 0, 15)
    rounded: Floats = ((codes - zeros) * scales).reshape(-1, weights.shape[1])[: len(weights)]
    return _evenly(values.T).T, rounded


def _evenly(matrix: Floats) -> Floats:
    """Return a matrix [K, N] rounded to 8 bits around 0, each block of each column by itself."""
    blocks = _in_blocks(matrix)
    scales = np.maximum(np.abs(blocks).max(axis=1, keepdims=True) / 127, np.float32(_LEAST))
    rounded: Floats = (np.rint(blocks / scales) * scales).reshape(-1, matrix.shape[1])[: len(matrix)]
    return rounded


def _in_blocks(matrix: Floats) -> Floats:
    """Return a matrix [K, N] as [blocks, 32, N], zeros behind the last."""
    padded = np.pad(matrix, ((0, -len(matrix) % BLOCK), (0, 0)))
    return padded.reshape(-1, BLOCK, matrix.shape[1])


def _four(product: Product) -> list[str]:
    return [f"{product.weight}.blocks4{part}" for part in _PARTS]


def _on_levels(product: Product) -> list[str]:
    return [f"{product.weight}.levels4{part}" for part in _PARTS]


def _add(constants: Constants, names: list[str], rounded: Blocks) -> None:
    packed = rounded.pack(4)
    constants.add(names[0], packed.codes)
    constants.add(names[1], packed.scales)
    constants.add(names[2], packed.zero_points)


def _summing(inner: int) -> Floats:
    """Return the matrix [K, sums] that sums the blocks of K inputs, the sums padded to whole blocks."""
    count = -(-inner // BLOCK)
    matrix: Floats = (np.arange(inner)[:, None] // BLOCK == np.arange(count + -count % BLOCK)).astype(np.float32)
    return matrix


def _product(
    constants: Constants, product: Product, weights: list[str], shared: set[str], bits: int, more: int = 0
) -> list[NodeProto]:
    """Return the nodes of a product in blocks. more: inputs beyond those of the product's own weights."""
    inner, columns = product.weights(constants).shape
    last = f"{product.output}.sum" if product.bias else product.output
    made: list[NodeProto] = []
    value, output = product.input, last
    if spare_rows := spare.needed(bits, BLOCK, _INTEGERS):
        made, value = spare.repeat(constants, value, shared)
        output = f"{last}.and_spare"
    made.append(
        helper.make_node(
            "MatMulNBits", [value, *weights], [output], domain=_DOMAIN,
            K=inner + more, N=columns, bits=bits, block_size=BLOCK, accuracy_level=_INTEGERS,
        )
    )  # fmt: skip
    if spare_rows:
        made.append(spare.drop(constants, output, last))
    if product.bias:
        made.append(helper.make_node("Add", [last, product.bias], [product.output]))
    return made
