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
    codes, scales = _eight(constants, product)
    return _product(constants, product, [codes, scales], bits=8)


def look_up(constants: Constants, product: Product, lookup: NodeProto) -> list[NodeProto]:
    """Return the nodes that read rows of the table of `product`."""
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


def in_blocks(weights: Floats) -> Floats:
    """Return weights [K, N] as [N, blocks, 32], zeros behind the last."""
    inner, columns = weights.shape
    padded = np.zeros((columns, -(-inner // BLOCK) * BLOCK), np.float32)
    padded[:, :inner] = weights.T
    return padded.reshape(columns, -1, BLOCK)


def _eight(constants: Constants, product: Product) -> tuple[str, str]:
    codes, scales = f"{product.weight}.blocks8", f"{product.weight}.blocks8_scale"
    if codes not in constants:
        blocks = in_blocks(product.weights(constants))
        scale = np.maximum(np.abs(blocks).max(axis=-1) / 127, np.float32(1e-12)).astype(np.float32)
        constants.add(codes, (np.rint(blocks / scale[..., None]) + _MIDDLE).astype(np.uint8))
        constants.add(scales, scale)
    return codes, scales


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
