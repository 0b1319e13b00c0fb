from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.residual import join_residuals

WIDTH, LAYERS = 24, 3


NORMS = {
    "RMSNormalization": ["SkipSimplifiedLayerNormalization"],
    "LayerNormalization": ["Sum", "LayerNormalization"],
}


def model(
    shapes: tuple[list[int | str], list[int | str]], norm: str = "RMSNormalization", axis: int = -1
) -> onnx.ModelProto:
    """Sums of x and y, each with its norm, of which each is the next y."""
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in zip("xy", shapes, strict=True)
    ]
    nodes, total, layer, infos = [], "x", "y", []
    for index in range(LAYERS):
        nodes += [
            helper.make_node("Add", [total, layer], [f"sum{index}"]),
            helper.make_node(norm, [f"sum{index}", "weight"], [f"norm{index}"], epsilon=1e-6, axis=axis),
        ]
        total, layer = f"sum{index}", f"norm{index}"
        infos += [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[0]) for name in (total, layer)]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (total, layer)]
    weight = numpy_helper.from_array(np.random.default_rng(0).random(WIDTH, np.float32), "weight")
    graph = helper.make_graph(nodes, "g", ports, outputs, [weight], value_info=infos)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


def run(given: onnx.ModelProto, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(given.SerializeToString(), options).run(None, {"x": x, "y": y})


def operators(given: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in given.graph.node]


def rows(count: int) -> list[np.ndarray]:
    return [np.random.default_rng(seed).standard_normal((count, 2, WIDTH)).astype(np.float32) for seed in (1, 2)]


@pytest.mark.parametrize("norm", NORMS)
def test_a_sum_and_its_norm_become_one_operator_or_two_that_stay_apart(norm: str) -> None:
    shape: list[int | str] = ["batch", "time", WIDTH]
    joined = join_residuals(model((shape, shape), norm))
    assert operators(joined) == NORMS[norm] * LAYERS
    for left, right in zip(run(joined, *rows(5)), run(model((shape, shape), norm), *rows(5)), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_a_row_has_the_same_bits_alone_and_in_a_crowd(norm: str) -> None:
    shape: list[int | str] = ["batch", "time", WIDTH]
    joined, (x, y) = join_residuals(model((shape, shape), norm)), rows(33)
    crowd = run(joined, x, y)
    for row in range(33):
        alone = run(joined, x[row : row + 1], y[row : row + 1])
        assert all((one[0] == many[row]).all() for one, many in zip(alone, crowd, strict=True))


@pytest.mark.parametrize(
    ("left", "right", "axis"),
    [
        (["batch", "time", WIDTH], ["time", WIDTH], -1),  # one side is stretched
        (["batch", "time", WIDTH], ["batch", 1, WIDTH], -1),
        (["batch", "time", 4, WIDTH], ["batch", "time", 4, WIDTH], -1),
        (["batch", "time", WIDTH], ["batch", "time", WIDTH], 1),  # the norm of more than one axis
    ],
)
def test_what_the_operator_cannot_take_stays_as_it_was(left: list, right: list, axis: int) -> None:
    assert operators(join_residuals(model((left, right), axis=axis)))[:2] == ["Add", "RMSNormalization"]


def test_onnx_runtime_does_not_put_together_what_is_kept_apart(tmp_path: Path) -> None:
    shape: list[int | str] = ["batch", "time", WIDTH]
    kept = join_residuals(model((shape, shape), "LayerNormalization"))
    del kept.graph.output[0]  # of the last sum: a norm may be joined with a sum that nobody else reads
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(kept.SerializeToString(), options)
    assert operators(onnx.load(tmp_path / "optimized.onnx")) == NORMS["LayerNormalization"] * LAYERS
