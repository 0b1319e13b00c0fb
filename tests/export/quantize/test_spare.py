"""Products in 4 bits beside a spare row: as on a processor that needs it, whether this one does or not."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from bundle.device import CPU, session_options
from export.quantize import spare
from export.quantize.rewrite import rewrite

K, N = 96, 40


def session(monkeypatch: pytest.MonkeyPatch):
    """y = x @ w [B, T, N] and those rows of it that are picked, in 4 bits."""
    monkeypatch.setattr(spare, "needed", lambda *_: True)
    weights = np.random.default_rng(0).standard_normal((K, N)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Reshape", ["x", "flat"], ["rows"]),
        helper.make_node("Gather", ["rows", "indices"], ["few"], axis=0),
        helper.make_node("MatMul", ["few", "w"], ["logits"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "time", K]),
        helper.make_tensor_value_info("indices", TensorProto.INT64, ["rows"]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", "logits")]
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([-1, K], np.int64), "flat")]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    rounded = rewrite(model, {"x": "blocks4", "few": "blocks4"})
    rounded.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    kinds = [node.op_type for node in rounded.graph.node]
    assert kinds.count("MatMulNBits") == 2
    return onnxruntime.InferenceSession(rounded.SerializeToString(), session_options(1), providers=[CPU])


def test_a_row_is_the_same_alone_and_in_any_company(monkeypatch: pytest.MonkeyPatch):
    run = session(monkeypatch)
    x = np.random.default_rng(1).standard_normal((5, 3, K)).astype(np.float32)
    every = np.arange(15, dtype=np.int64)
    whole, logits = run.run(None, {"x": x, "indices": every})
    assert whole.shape == (5, 3, N) and logits.shape == (15, N)
    assert np.array_equal(whole.reshape(15, N), logits)
    for row in range(5):
        alone, few = run.run(None, {"x": x[row : row + 1, :1], "indices": np.zeros(1, np.int64)})
        assert np.array_equal(alone[0, 0], whole[row, 0]) and np.array_equal(few, whole[row, :1])


def test_one_position_of_several_rows_is_the_same_as_beside_others(monkeypatch: pytest.MonkeyPatch):
    run = session(monkeypatch)
    x = np.random.default_rng(1).standard_normal((4, 2, K)).astype(np.float32)
    whole, _ = run.run(None, {"x": x, "indices": np.arange(8, dtype=np.int64)})
    for asked in ([], [5], [5, 2]):
        same, logits = run.run(None, {"x": x, "indices": np.array(asked, np.int64)})
        assert np.array_equal(same, whole)
        assert np.array_equal(logits, whole.reshape(8, N)[asked])
