"""Products of bytes: on every processor they are the integers that they should be, in loops and branches as well."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import GraphProto, TensorProto, helper, numpy_helper

from bundle.device import open_session, session_options
from export.quantize.inward import inward

K, N = 64, 24
WEIGHTS = np.random.default_rng(0).choice(np.array([-127, 127], np.int8), (K, N))


def product(output: str) -> onnx.NodeProto:
    return helper.make_node("MatMulInteger", ["x", "w", "middle"], [output])


def plain() -> GraphProto:
    return _graph([product("y")])


def branches() -> GraphProto:
    """The product in one branch of an If, which is always taken; its weights around it."""
    value = helper.make_tensor_value_info("y1", TensorProto.INT32, None)
    taken = helper.make_graph([product("y1")], "then", [], [value])
    zero = helper.make_tensor("zero", TensorProto.INT32, [1], [0])
    zeros = helper.make_node("ConstantOfShape", ["shape"], ["y2"], value=zero)
    other = helper.make_graph([zeros], "else", [], [helper.make_tensor_value_info("y2", TensorProto.INT32, None)])
    return _graph([helper.make_node("If", ["always"], ["y"], then_branch=taken, else_branch=other)])


def loop() -> GraphProto:
    """The product in the body of a Scan over one round."""
    inner = helper.make_node("MatMulInteger", ["x1", "w", "middle"], ["y1"])
    values = [
        helper.make_tensor_value_info(n, kind, None)
        for n, kind in (("x1", TensorProto.UINT8), ("y1", TensorProto.INT32))
    ]
    body = helper.make_graph([inner], "body", values[:1], values[1:])
    nodes = [
        helper.make_node("Unsqueeze", ["x", "first"], ["rounds"]),
        helper.make_node("Scan", ["rounds"], ["found"], num_scan_inputs=1, body=body),
        helper.make_node("Squeeze", ["found", "first"], ["y"]),
    ]
    return _graph(nodes)


def _graph(nodes: list[onnx.NodeProto]) -> GraphProto:
    constants = {
        "w": WEIGHTS,
        "middle": np.uint8(128),
        "always": np.array(True),
        "shape": np.array([1, N], np.int64),
        "first": np.array([0], np.int64),
    }
    read = {name for node in nodes for inside in _with_bodies(node) for name in inside.input}
    return helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [None, K])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items() if name in read],
    )  # fmt: skip


def _with_bodies(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    return [node, *(inside for attribute in node.attribute for inside in attribute.g.node)]


@pytest.mark.parametrize("made", [plain, branches, loop])
def test_sums_of_large_products_are_exact(made, tmp_path: Path):
    graph = made()
    inward(graph)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    onnx.save(model, tmp_path / "graph.onnx")
    session = open_session(str(tmp_path / "graph.onnx"), session_options(1), "cpu")
    for rows in (1, 2, 7, 40):
        x = np.random.default_rng(rows).choice(np.array([1, 255], np.uint8), (rows, K))
        expected = (x.astype(np.int64) - 128) @ WEIGHTS.astype(np.int64)
        assert np.array_equal(session.run(None, {"x": x})[0], expected)


def test_weights_that_others_read_as_well_stay_where_they_are():
    graph = branches()
    graph.node.append(helper.make_node("Cast", ["w"], ["floats"], to=TensorProto.FLOAT))
    inward(graph)
    assert "w" in {tensor.name for tensor in graph.initializer}
