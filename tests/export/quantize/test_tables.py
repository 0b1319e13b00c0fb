import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.quantize.rewrite import rewrite
from export.quantize.rounding import round_nearest
from export.quantize.rowwise import round_columns

ROWS = 50


def graph(table: np.ndarray) -> onnx.ModelProto:
    """Rows of a table, and the product of x with the whole of it."""
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["rows"]),
        helper.make_node("Gemm", ["x", "table"], ["logits"], transB=1),
    ]
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT64, ["B", "T"]),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", table.shape[1]]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("rows", "logits")]
    made = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(table, "table")])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


@pytest.mark.parametrize("width", [192, 96, 80])  # whole blocks, an odd number of them, a part of one
@pytest.mark.parametrize(("form", "off"), [("blocks4", 0.15), ("blocks8", 0.01)])
def test_rows_are_read_as_they_are_multiplied_from_one_table(width: int, form: str, off: float) -> None:
    random = np.random.default_rng(0)
    table = random.standard_normal((ROWS, width)).astype(np.float32)
    tokens = random.integers(0, ROWS, (3, 4))
    model = rewrite(graph(table), {"x": form})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows, logits = session.run(None, {"tokens": tokens, "x": np.eye(width, dtype=np.float32)})
    assert rows.shape == (3, 4, width)
    assert np.abs(rows - table[tokens]).max() < off * np.abs(table).max()
    np.testing.assert_allclose(rows, logits.T[tokens], atol=0.01)
    if form == "blocks4":
        np.testing.assert_allclose(rows, round_nearest(table.T, 32).dense(width).T[tokens], atol=1e-6)
    large = [tensor.name for tensor in model.graph.initializer if np.prod(tensor.dims) >= table.size // 2]
    assert large == [f"table.{form}"]


def test_rows_by_columns_are_read_as_they_are_multiplied_and_lie_together() -> None:
    random = np.random.default_rng(0)
    table = random.standard_normal((ROWS, 96)).astype(np.float32)
    tokens = random.integers(0, ROWS, (3, 4))
    model = rewrite(graph(table), {"x": "rowwise"})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (rows,) = session.run(["rows"], {"tokens": tokens, "x": np.eye(96, dtype=np.float32)})
    integers, scale = round_columns(table.T)
    np.testing.assert_array_equal(rows, (integers * scale).T[tokens])
    (read,) = [node.input[0] for node in model.graph.node if node.output[0] == "rows.integers"]
    stored = next(tensor for tensor in model.graph.initializer if tensor.name == read)
    assert list(stored.dims) == [ROWS, 96]
