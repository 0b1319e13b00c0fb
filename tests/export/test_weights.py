"""Where weights are written: inside of a graph, or beside it."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from export.weights import ALIGNMENT, write_graph


def model() -> onnx.ModelProto:
    """x [1, 300] · large [300, 300] + small [300]."""
    random = np.random.default_rng(0)
    large, small = random.random((300, 300), np.float32), random.random(300, np.float32)
    shape = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 300]) for name in "xy"]
    nodes = [
        helper.make_node("MatMul", ["x", "large"], ["product"]),
        helper.make_node("Add", ["product", "small"], ["y"]),
    ]
    weights = [numpy_helper.from_array(array, name) for array, name in ((large, "large"), (small, "small"))]
    graph = helper.make_graph(nodes, "graph", shape[:1], shape[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


def answer(path: Path) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": np.linspace(0, 1, 300, dtype=np.float32)[None]})
    return np.asarray(result)


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "step.onnx", tmp_path / "step.onnx.data"


def test_few_weights_stay_in_the_graph(paths: tuple[Path, Path]) -> None:
    write_graph(model(), *paths)
    assert not paths[1].exists()
    assert paths[0].read_bytes() == model().SerializeToString(deterministic=True)


def test_many_weights_go_beside_it_where_memory_can_be_mapped_and_compute_the_same(
    paths: tuple[Path, Path], tmp_path: Path
) -> None:
    write_graph(model(), *paths, inside=1000)
    large, small = onnx.load(paths[0], load_external_data=False).graph.initializer
    place = {entry.key: entry.value for entry in large.external_data}
    assert place == {"location": "step.onnx.data", "offset": "0", "length": str(300 * 300 * 4)}
    assert small.raw_data and not large.raw_data
    whole = tmp_path / "whole.onnx"
    write_graph(model(), whole, tmp_path / "none")
    assert (answer(paths[0]) == answer(whole)).all()


def test_every_tensor_begins_at_a_multiple_of_the_alignment(paths: tuple[Path, Path]) -> None:
    two = model()
    two.graph.initializer.append(numpy_helper.from_array(np.ones(ALIGNMENT, np.uint8), "third"))
    write_graph(two, *paths, inside=0)
    tensors = onnx.load(paths[0], load_external_data=False).graph.initializer
    offsets = [int(entry.value) for tensor in tensors for entry in tensor.external_data if entry.key == "offset"]
    assert offsets == [0, 6 * ALIGNMENT]
    assert paths[1].read_bytes()[6 * ALIGNMENT :] == b"\1" * ALIGNMENT


def test_weights_inside_of_a_branch_go_beside_it_too(paths: tuple[Path, Path], tmp_path: Path) -> None:
    def branched() -> onnx.ModelProto:
        inner, yes = model().graph, numpy_helper.from_array(np.array(True), "yes")
        del inner.input[:]
        branches = {"then_branch": inner, "else_branch": inner}
        chosen = helper.make_node("If", ["yes"], ["chosen"], **branches)  # type: ignore[arg-type]
        shape = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 300]) for name in ("x", "chosen")]
        graph = helper.make_graph([chosen], "graph", shape[:1], shape[1:], [yes])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)

    write_graph(branched(), *paths, inside=1000)
    assert paths[1].stat().st_size > 2 * 300 * 300 * 4
    whole = tmp_path / "whole.onnx"
    write_graph(branched(), whole, tmp_path / "none")
    assert (answer(paths[0]) == answer(whole)).all()
