"""Rows of a table in blocks, read by number: codes are gathered and made floats, of those rows alone.

The table is stored as its product needs it (`blocks.py`), once for both.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto, helper

from export.quantize.blocks import BLOCK, MIDDLE, stored_eight, stored_four
from export.quantize.constants import Constants
from export.quantize.products import Product


def look_up_eight(constants: Constants, product: Product, lookup: NodeProto) -> list[NodeProto]:
    """Return the nodes that read rows of the table of `product` in eight bits."""
    codes, scales = stored_eight(constants, product)
    tokens, output = lookup.input[1], lookup.output[0]
    width = constants.shape(product.weight)[1]
    axes = constants.add("last_axis", np.array([-1], np.int64))
    middle = constants.add("block_middle", np.float32(MIDDLE))
    made = [
        helper.make_node("Gather", [codes, tokens], [f"{output}.codes"]),  # [B, T, blocks, 32]
        helper.make_node("Cast", [f"{output}.codes"], [f"{output}.floats"], to=TensorProto.FLOAT),
        helper.make_node("Sub", [f"{output}.floats", middle], [f"{output}.signed"]),
        helper.make_node("Gather", [scales, tokens], [f"{output}.scales"]),
        helper.make_node("Unsqueeze", [f"{output}.scales", axes], [f"{output}.scale"]),
    ]
    return made + _joined(constants, output, width)


def look_up_four(constants: Constants, product: Product, lookup: NodeProto) -> list[NodeProto]:
    """Return the nodes that read rows of the table of `product` in four bits."""
    (codes, scales, zeros), tokens, output = stored_four(constants, product), lookup.input[1], lookup.output[0]
    blocks, axes = constants.shape(scales)[1], constants.add("last_axis", np.array([-1], np.int64))
    made = [helper.make_node("Gather", [packed, tokens], [f"{packed}.packed"]) for packed in (codes, zeros)]
    made += _unpacked(constants, f"{codes}.packed", f"{output}.floats", [0, 0, blocks, BLOCK])
    made += _unpacked(constants, f"{zeros}.packed", f"{output}.zeros", [0, 0, -1, 1])
    end = [constants.add(f"block_{name}", np.array([end], np.int64)) for name, end in (("first", 0), ("axis", 2))]
    last = constants.add(f"blocks_{blocks}", np.array([blocks], np.int64))
    made += [
        # Behind an odd number of zero points there is one that means nothing.
        helper.make_node("Slice", [f"{output}.zeros", end[0], last, end[1]], [f"{output}.zero"]),
        helper.make_node("Sub", [f"{output}.floats", f"{output}.zero"], [f"{output}.signed"]),
        helper.make_node("Gather", [scales, tokens], [f"{output}.scales"]),
        helper.make_node("Unsqueeze", [f"{output}.scales", axes], [f"{output}.scale"]),
    ]
    return made + _joined(constants, output, constants.shape(product.weight)[1])


def _unpacked(constants: Constants, packed: str, made: str, shape: list[int]) -> list[NodeProto]:
    """Return the nodes that take bytes apart, the lower half first, and make floats of this shape."""
    last = constants.add("last_axis", np.array([-1], np.int64))
    halves, four = constants.add("halves", np.array([0, 4], np.uint8)), constants.add("half", np.uint8(15))
    form = constants.add(f"unpacked_{'_'.join(map(str, shape[2:]))}", np.array(shape, np.int64))
    return [
        helper.make_node("Unsqueeze", [packed, last], [f"{made}.bytes"]),
        helper.make_node("BitShift", [f"{made}.bytes", halves], [f"{made}.shifted"], direction="RIGHT"),
        helper.make_node("BitwiseAnd", [f"{made}.shifted", four], [f"{made}.halves"]),
        helper.make_node("Reshape", [f"{made}.halves", form], [f"{made}.codes"]),
        helper.make_node("Cast", [f"{made}.codes"], [made], to=TensorProto.FLOAT),
    ]


def _joined(constants: Constants, output: str, width: int) -> list[NodeProto]:
    """Return the nodes that scale the signed codes of rows and join their blocks to `width`."""
    shape = constants.add("block_joined", np.array([0, 0, -1], np.int64))
    whole = width % BLOCK == 0
    made = [
        helper.make_node("Mul", [f"{output}.signed", f"{output}.scale"], [f"{output}.blocks"]),
        helper.make_node("Reshape", [f"{output}.blocks", shape], [output if whole else f"{output}.wide"]),
    ]
    if not whole:
        ends = [constants.add(f"ends_{end}", np.array([end], np.int64)) for end in (0, width)]
        axes = constants.add("last_axis", np.array([-1], np.int64))
        made.append(helper.make_node("Slice", [f"{output}.wide", *ends, axes], [output]))
    return made
