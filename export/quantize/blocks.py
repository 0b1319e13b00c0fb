"""Weights in blocks: 32 along the reduction share a scale, in eight bits or in four; MatMulNBits multiplies them.

The operator rounds values to eight bits too, row by row and block by block. Knows nothing about which products are
rounded.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto, helper

from export.quantize.constants import Constants, Floats
from export.quantize.products import Product
from export.quantize.rounding import Blocks, round_nearest

BLOCK = 32
_DOMAIN = "com.microsoft"
# The operator computes with integers where the processor is good at it.
_INTEGERS = 4
_MIDDLE = 128
_LEAST = 1e-12


def eight_bits(constants: Constants, product: Product, shared: set[str]) -> list[NodeProto]:
    """Return the nodes that compute `product` with weights of eight bits."""
    return _product(constants, product, _eight(constants, product), bits=8)


def four_bits(constants: Constants, product: Product, shared: set[str]) -> list[NodeProto]:
    """Return the nodes that compute `product` with weights of four bits: those added by `add_four`, or the nearest."""
    if f"{product.weight}.blocks4" not in constants:
        add_four(constants, product, round_nearest(product.weights(constants), BLOCK))
    return _product(constants, product, _four(product), bits=4)


def look_up(constants: Constants, product: Product, lookup: NodeProto) -> list[NodeProto]:
    """Return the nodes that read rows of the table of `product` in eight bits."""
    codes, scales = _eight(constants, product)
    tokens, output = lookup.input[1], lookup.output[0]
    width = constants.shape(product.weight)[1]
    axes = constants.add("last_axis", np.array([-1], np.int64))
    middle = constants.add("block_middle", np.float32(_MIDDLE))
    shape = constants.add("block_joined", np.array([0, 0, -1], np.int64))
    made = [
        helper.make_node("Gather", [codes, tokens], [f"{output}.codes"]),  # [B, T, blocks, 32]
        helper.make_node("Cast", [f"{output}.codes"], [f"{output}.floats"], to=TensorProto.FLOAT),
        helper.make_node("Sub", [f"{output}.floats", middle], [f"{output}.signed"]),
        helper.make_node("Gather", [scales, tokens], [f"{output}.scales"]),
        helper.make_node("Unsqueeze", [f"{output}.scales", axes], [f"{output}.scale"]),
        helper.make_node("Mul", [f"{output}.signed", f"{output}.scale"], [f"{output}.blocks"]),
        helper.make_node("Reshape", [f"{output}.blocks", shape], [output if width % BLOCK == 0 else f"{output}.wide"]),
    ]
    if width % BLOCK:
        ends = [constants.add(f"ends_{end}", np.array([end], np.int64)) for end in (0, width)]
        made.append(helper.make_node("Slice", [f"{output}.wide", *ends, axes], [output]))
    return made


def add_four(constants: Constants, product: Product, rounded: Blocks) -> None:
    """Add weights of four bits, as `four_bits` will read them."""
    packed, (codes, scales, zero_points) = rounded.pack(4), _four(product)
    constants.add(codes, packed.codes)
    constants.add(scales, packed.scales)
    constants.add(zero_points, packed.zero_points)


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


def _eight(constants: Constants, product: Product) -> list[str]:
    codes, scales = f"{product.weight}.blocks8", f"{product.weight}.blocks8_scale"
    if codes not in constants:
        blocks = _in_blocks(product.weights(constants)).transpose(2, 0, 1)
        scale = np.maximum(np.abs(blocks).max(axis=-1) / 127, np.float32(_LEAST)).astype(np.float32)
        constants.add(codes, (np.rint(blocks / scale[..., None]) + _MIDDLE).astype(np.uint8))
        constants.add(scales, np.ascontiguousarray(scale))
    return [codes, scales]


def _four(product: Product) -> list[str]:
    return [f"{product.weight}.blocks4{part}" for part in ("", "_scale", "_zero")]


def _product(constants: Constants, product: Product, weights: list[str], bits: int) -> list[NodeProto]:
    inner, columns = product.weights(constants).shape
    last = f"{product.output}.sum" if product.bias else product.output
    made = [
        helper.make_node(
            "MatMulNBits", [product.input, *weights], [last], domain=_DOMAIN,
            K=inner, N=columns, bits=bits, block_size=BLOCK, accuracy_level=_INTEGERS,
        )
    ]  # fmt: skip
    if product.bias:
        made.append(helper.make_node("Add", [last, product.bias], [product.output]))
    return made
