"""A spare row beside a lone one, for products in 4 bits on processors that would sum the lone row in another order.

ONNX Runtime's MatMulNBits has a way of its own for a single row. Where there is no VNNI its last bits are not those of
the way for several, so a row alone would not be what it is in a crowd. With a second row beside it, which costs next to
nothing there, it is. Works on any value of shape [..., R, K]: its first row is repeated behind the last.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from bundle.device import CPU, session_options
from export.quantize.constants import Constants, nodes, replace_nodes

# How many rows are spare (1 or 0), and where those that are not end.
_COUNT, _END = "spare.count", "spare.end"
_AXIS = -2


def repeat(constants: Constants, value: str, shared: set[str]) -> tuple[list[NodeProto], str]:
    """Return the nodes that put a spare row behind the rows of `value`, and the name of what they make.

    shared: what this scope has already; completed here.
    """
    more, name = f"{value}.spare", f"{value}.and_spare"
    if name in shared:
        return [], name
    shared.add(name)
    return [
        helper.make_node("Slice", [value, _number(constants, 0), _COUNT, _number(constants, _AXIS)], [more]),
        helper.make_node("Concat", [value, more], [name], axis=_AXIS),
    ], name


def drop(constants: Constants, value: str, output: str) -> NodeProto:
    """Return the node that takes the spare row of `value` away."""
    return helper.make_node("Slice", [value, _number(constants, 0), _END, _number(constants, _AXIS)], [output])


def count(graph: GraphProto, constants: Constants) -> None:
    """Put the nodes in front of `graph` that tell how many rows are spare, if any node asks.

    One is where the first axis of any input has one entry: a call has one row, or logits of one position are asked for.
    """
    if all(_COUNT not in node.input for node in nodes(graph)):
        return
    one, last, whole = (_number(constants, number) for number in (1, -1, np.iinfo(np.int64).max))
    axes = {value.type.tensor_type.shape.dim[0].dim_param: value.name for value in graph.input}
    sizes = [f"spare.rows.{axis}" for axis in axes]
    asked = [
        *(helper.make_node("Shape", [name], [f"spare.rows.{axis}"], start=0, end=1) for axis, name in axes.items()),
        helper.make_node("Concat", sizes, ["spare.rows"], axis=0),
        helper.make_node("Equal", ["spare.rows", one], ["spare.lone"]),
        helper.make_node("Cast", ["spare.lone"], ["spare.any"], to=TensorProto.INT64),
        helper.make_node("ReduceMax", ["spare.any"], [_COUNT]),
        helper.make_node("Equal", [_COUNT, one], ["spare.is"]),
        helper.make_node("Where", ["spare.is", last, whole], [_END]),
    ]
    replace_nodes(graph, [*asked, *graph.node])


def _number(constants: Constants, number: int) -> str:
    return constants.add(f"spare.{number}", np.array([number], np.int64))


@cache
def needed(bits: int, block: int, accuracy: int) -> bool:
    """Whether this processor sums a lone row of such a MatMulNBits in another order than several."""
    inner, columns, random = 18 * block, 64, np.random.default_rng(0)
    codes = random.integers(0, 256, (columns, inner // block, block * bits // 8)).astype(np.uint8)
    scales = random.random((columns, inner // block)).astype(np.float32)
    node = helper.make_node(
        "MatMulNBits", ["x", "codes", "scales"], ["y"], domain="com.microsoft",
        K=inner, N=columns, bits=bits, block_size=block, accuracy_level=accuracy,
    )  # fmt: skip
    weights = [numpy_helper.from_array(codes, "codes"), numpy_helper.from_array(scales, "scales")]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    graph = helper.make_graph([node], "probe", values[:1], values[1:], weights)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), session_options(1), providers=[CPU])
    rows = random.standard_normal((8, inner)).astype(np.float32)
    alone = [session.run(None, {"x": rows[place : place + 1]})[0] for place in range(len(rows))]
    together: NDArray[np.float32] = session.run(None, {"x": rows})[0]
    return not np.array_equal(together, np.concatenate(alone))
