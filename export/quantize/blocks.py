"""Weights in blocks: 32 along the reduction share a scale, in eight bits or in four; MatMulNBits multiplies them.

The operator rounds values to eight bits too, row by row and block by block. Knows nothing about which products are
rounded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from export.quantize.constants import Constants, Floats
from export.quantize.products import Product

BLOCK = 32
_DOMAIN = "com.microsoft"
# The operator computes with integers where the processor is good at it.
_INTEGERS = 4
_MIDDLE = 128

Codes = NDArray[np.uint8]


def eight_bits(constants: Constants, product: Product, shared: set[str]) -> list[NodeProto]:  # noqa: ARG001 - a form
    """Return the nodes that compute `product` with weights of eight bits."""
    return _product(constants, product, _eight(constants, product), bits=8)


def four_bits(constants: Constants, product: Product, shared: set[str]) -> list[NodeProto]:  # noqa: ARG001 - a form
    """Return the nodes that compute `product` with weights of four bits: those added by `add_four`, or else rounded."""
    if f"{product.weight}.blocks4" not in constants:
        add_four(constants, product, *round_blocks_plainly(in_blocks(product.weights(constants))))
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


def add_four(constants: Constants, product: Product, codes: Codes, scales: Floats, zero_points: Codes) -> None:
    """Add weights of four bits: codes [N, blocks, 32], scales and zero points [N, blocks], all codes below 16."""
    names = _four(product)
    if zero_points.shape[1] % 2:
        zero_points = np.pad(zero_points, ((0, 0), (0, 1)))
    constants.add(names[0], _packed(codes))
    constants.add(names[1], scales)
    constants.add(names[2], _packed(zero_points))


def round_blocks_plainly(blocks: Floats) -> tuple[Codes, Floats, Codes]:
    """Round weights [N, blocks, 32] to four bits, each by itself, between its block's extremes and 0."""
    low, high = np.minimum(blocks.min(axis=-1), 0), np.maximum(blocks.max(axis=-1), 0)
    scales = np.maximum((high - low) / 15, np.float32(1e-12)).astype(np.float32)
    zero_points = np.clip(np.rint(-low / scales), 0, 15)
    codes = np.clip(np.rint(blocks / scales[..., None]) + zero_points[..., None], 0, 15)
    return codes.astype(np.uint8), scales, zero_points.astype(np.uint8)


def unrounded(codes: Codes, scales: Floats, zero_points: Codes | int, inner: int) -> Floats:
    """Return the weights [K, N] that codes [N, blocks, 32] stand for."""
    zero = zero_points if isinstance(zero_points, int) else zero_points[..., None].astype(np.float32)
    values = (codes.astype(np.float32) - zero) * scales[..., None]
    return np.ascontiguousarray(values.reshape(len(codes), -1)[:, :inner].T)


def round_eight(blocks: Floats) -> tuple[Codes, Floats]:
    """Round weights [N, blocks, 32] to eight bits around 128, with a scale for each block."""
    scale = np.maximum(np.abs(blocks).max(axis=-1) / 127, np.float32(1e-12)).astype(np.float32)
    return (np.rint(blocks / scale[..., None]) + _MIDDLE).astype(np.uint8), scale


def round_both_eight(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return values [R, K] and weights [K, N] as the product of eight bits sees them."""
    return round_values(values), unrounded(*round_eight(in_blocks(weights)), _MIDDLE, len(weights))


def round_both_four(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return values [R, K] and weights [K, N] as the product of four bits sees them."""
    return round_values(values), unrounded(*round_blocks_plainly(in_blocks(weights)), len(weights))


def round_values(values: Floats) -> Floats:
    """Return values [R, K] as the operator rounds them: each block of each row by itself."""
    padded = in_blocks(values.T)
    scale = np.maximum(np.abs(padded).max(axis=-1, keepdims=True) / 127, np.float32(1e-12))
    rounded: Floats = (np.rint(padded / scale) * scale).reshape(len(values), -1)[:, : values.shape[1]]
    return rounded


def in_blocks(weights: Floats) -> Floats:
    """Return weights [K, N] as [N, blocks, 32], zeros behind the last."""
    inner, columns = weights.shape
    padded = np.zeros((columns, -(-inner // BLOCK) * BLOCK), np.float32)
    padded[:, :inner] = weights.T
    return padded.reshape(columns, -1, BLOCK)


def _eight(constants: Constants, product: Product) -> list[str]:
    codes, scales = f"{product.weight}.blocks8", f"{product.weight}.blocks8_scale"
    if codes not in constants:
        rounded, scale = round_eight(in_blocks(product.weights(constants)))
        constants.add(codes, rounded)
        constants.add(scales, scale)
    return [codes, scales]


def _four(product: Product) -> list[str]:
    return [f"{product.weight}.blocks4{part}" for part in ("", "_scale", "_zero")]


def _packed(codes: Codes) -> Codes:
    """Put each two neighbours on the last axis into one byte, the first in its low half."""
    return codes[..., ::2] | (codes[..., 1::2] << 4)


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
