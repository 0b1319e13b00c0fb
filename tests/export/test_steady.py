import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from bundle.manifest import Calls
from export.steady import block, steady

HEADS, HEAD_WIDTH, WIDE, CAPACITY = 2, 8, 128, 300


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def attention(width: int = HEAD_WIDTH) -> onnx.ModelProto:
    cache = [None, HEADS, CAPACITY, width]
    inputs = [
        helper.make_tensor_value_info("qkv", TensorProto.FLOAT, [None, None, 3 * HEADS * width]),
        *(helper.make_tensor_value_info(name, TensorProto.FLOAT, cache) for name in ("keys", "values")),
        helper.make_tensor_value_info("last", TensorProto.INT32, [None]),
        helper.make_tensor_value_info("total", TensorProto.INT32, []),
    ]
    node = helper.make_node(
        "GroupQueryAttention",
        ["qkv", "", "", "keys", "values", "last", "total"],
        ["mixed", "keys_next", "values_next"],
        domain="com.microsoft", num_heads=HEADS, kv_num_heads=HEADS,
    )  # fmt: skip
    outputs = [helper.make_tensor_value_info("mixed", TensorProto.FLOAT, [None, None, HEADS * width])]
    outputs += [helper.make_tensor_value_info(f"{name}_next", TensorProto.FLOAT, cache) for name in ("keys", "values")]
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(helper.make_graph([node], "g", inputs, outputs), opset_imports=opsets, ir_version=10)


def logarithm() -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Log", ["x"], ["y"])], "g", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


def attend(model: onnxruntime.InferenceSession, qkv: np.ndarray) -> np.ndarray:
    time = qkv.shape[1]
    cache = np.zeros((1, HEADS, CAPACITY, qkv.shape[2] // (3 * HEADS)), np.float32)
    feeds = {"last": np.array([time - 1], np.int32), "total": np.array(time, np.int32)}
    return model.run(["mixed"], {"qkv": qkv, "keys": cache, "values": cache.copy(), **feeds})[0]


@pytest.mark.parametrize(("width", "expected"), [(HEAD_WIDTH, HEAD_WIDTH), (64, 64), (WIDE, None)])
def test_attention_gives_a_token_the_same_bits_in_calls_of_every_width_that_is_allowed(
    width: int, expected: int | None
) -> None:
    qkv = np.random.default_rng(0).standard_normal((1, CAPACITY, 3 * HEADS * width)).astype(np.float32)
    model = steady(attention(width))
    calls = Calls(chunk="single", block=block(model))
    assert calls.block == expected
    plain, rewritten = session(attention(width)), session(model)
    whole = attend(rewritten, qkv)
    for time in filter(calls.allow, range(2, CAPACITY)):
        assert (attend(rewritten, qkv[:, :time]) == whole[:, :time]).all()
    np.testing.assert_allclose(whole, attend(plain, qkv), atol=1e-6)


def test_logarithms_have_the_same_bits_alone_and_in_a_crowd() -> None:
    x = np.random.default_rng(0).random((33, 41), np.float32)
    model = session(steady(logarithm()))
    (whole,) = model.run(None, {"x": x})
    assert all((model.run(None, {"x": row[None]})[0] == crowd).all() for row, crowd in zip(x, whole, strict=True))
    np.testing.assert_allclose(whole, np.log(x), rtol=1e-6)


@pytest.mark.parametrize("make", [attention, logarithm])
def test_a_rewrite_is_done_once(make) -> None:
    once = steady(make()).SerializeToString(deterministic=True)
    assert steady(onnx.ModelProto.FromString(once)).SerializeToString(deterministic=True) == once
