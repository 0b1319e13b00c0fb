"""Rows that nobody reads are not computed where each row is treated by itself."""

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from export.early import pick_early
from export.residual import MICROSOFT

ROWS, TIME, WIDTH, HIDDEN = 3, 5, 16, 24
GRID: list[int | str] = ["batch", "time"]


def layer(mixed: str, stream: str) -> Iterator[NodeProto]:
    """What stands behind an attention: a product, the sum of the residual, a norm, a gated layer, a sum."""
    yield helper.make_node("MatMul", [mixed, "merge"], ["merged"])
    joined = "SkipSimplifiedLayerNormalization"
    yield helper.make_node(joined, [stream, "merged", "scale"], ["norm", "", "", "sum"], domain=MICROSOFT)
    yield helper.make_node("MatMul", ["norm", "expand"], ["wide"])
    yield helper.make_node("Split", ["wide"], ["gate", "up"], axis=2, num_outputs=2)
    yield helper.make_node("Sigmoid", ["gate"], ["sigmoid"])
    yield helper.make_node("Mul", ["gate", "sigmoid"], ["silu"])
    yield helper.make_node("Mul", ["silu", "up"], ["hidden"])
    yield helper.make_node("MatMul", ["hidden", "contract"], ["narrow"])
    yield helper.make_node("Add", ["sum", "narrow"], ["features"])


WIDTHS = {
    **dict.fromkeys(("x", "mixed", "merged", "sum", "norm", "narrow", "features"), WIDTH),
    **dict.fromkeys(("gate", "up", "sigmoid", "silu", "hidden"), HIDDEN),
    "wide": 2 * HIDDEN,
}


def model(*more: NodeProto, outputs: tuple[str, ...] = ("picked",)) -> onnx.ModelProto:
    """Positions mixed by a running sum, a layer behind it, and rows of that by number. more: other readers."""
    draw = np.random.default_rng(0)
    weights = {
        "merge": draw.standard_normal((WIDTH, WIDTH)),
        "scale": draw.random(WIDTH),
        "expand": draw.standard_normal((WIDTH, 2 * HIDDEN)),
        "contract": draw.standard_normal((HIDDEN, WIDTH)),
    }
    constants = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    constants += [
        numpy_helper.from_array(np.array(value), name)
        for name, value in (("one", 1), ("flat", [-1, WIDTH]), ("most", 99))
    ]
    nodes = [
        helper.make_node("CumSum", ["x", "one"], ["mixed"]),
        helper.make_node("Clip", ["indices", "", "most"], ["wanted"]),  # an input that is not there has no name
        *layer("mixed", "x"),
        helper.make_node("Reshape", ["features", "flat"], ["rows"]),
        helper.make_node("Gather", ["rows", "wanted"], ["picked"], axis=0),
        *more,
    ]
    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [*GRID, WIDTH]),
        helper.make_tensor_value_info("indices", TensorProto.INT64, ["rows"]),
    ]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    noted = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [*GRID, width]) for name, width in WIDTHS.items()]
    graph = helper.make_graph(nodes, "g", ports, made, constants, value_info=noted)
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def run(given: onnx.ModelProto, x: np.ndarray, indices: list[int]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(given.SerializeToString(), options)
    return session.run(None, {"x": x, "indices": np.array(indices, np.int64)})


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((ROWS, TIME, WIDTH)).astype(np.float32)


def operators(given: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in given.graph.node]


@pytest.mark.parametrize("indices", [[4], [4, 9, 14], [*range(ROWS * TIME)], []])
def test_picked_rows_keep_their_bits(x: np.ndarray, indices: list[int]) -> None:
    ((found,), (expected,)) = run(pick_early(model()), x, indices), run(model(), x, indices)
    assert found.shape == (len(indices), WIDTH)
    assert (found == expected).all()


def test_rows_are_picked_behind_what_mixes_them() -> None:
    assert operators(pick_early(model()))[:7] == ["CumSum", "Clip", "Reshape", "Gather", "Reshape", "Gather", "MatMul"]


def test_what_is_read_elsewhere_is_computed_in_whole(x: np.ndarray) -> None:
    other = helper.make_node("CumSum", ["norm", "one"], ["other"])
    early = pick_early(model(other, outputs=("picked", "other")))
    kinds = operators(early)
    assert kinds.index("SkipSimplifiedLayerNormalization") < kinds.index("Gather") < kinds.index("Split")
    for found, expected in zip(run(early, x, [3]), run(model(other, outputs=("picked", "other")), x, [3]), strict=True):
        assert (found == expected).all()


@pytest.mark.parametrize(
    "other",
    [
        helper.make_node("Identity", ["features"], ["other"]),
        helper.make_node("Identity", ["rows"], ["other"]),
        helper.make_node("Identity", ["narrow"], ["other"]),  # no product is left
    ],
)
def test_a_graph_of_which_all_rows_are_read_stays_as_it_is(other: NodeProto) -> None:
    given = model(other, outputs=("picked", "other"))
    assert operators(pick_early(given)) == operators(model(other, outputs=("picked", "other")))


def test_an_output_is_computed_in_whole(x: np.ndarray) -> None:
    given = model(outputs=("picked", "features"))
    picked, features = run(pick_early(given), x, [7])
    assert (features.reshape(-1, WIDTH)[7] == picked[0]).all()
    assert features.shape == x.shape
