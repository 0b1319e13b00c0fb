import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.quantize.rounding import Blocks, round_blocks, round_nearest

INPUTS, OUTPUTS = 200, 48


def weights(inputs: int = INPUTS) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((inputs, OUTPUTS)).astype(np.float32)


def correlated(inputs: int = INPUTS, rows: int = 1000) -> np.ndarray:
    """Inputs [rows, inputs] in fewer directions than there are inputs, but for a little noise."""
    random = np.random.default_rng(1)
    mixed = random.standard_normal((rows, inputs // 4)) @ random.standard_normal((inputs // 4, inputs))
    return (mixed + random.standard_normal((rows, inputs))).astype(np.float32)


def moment(x: np.ndarray) -> np.ndarray:
    return x.T.astype(np.float64) @ x.astype(np.float64)


def multiplied(x: np.ndarray, blocks: Blocks, inputs: int, block_size: int, bits: int) -> np.ndarray:
    """What ONNX Runtime's own operator makes of the packed blocks."""
    codes, scales, zero_points = blocks.pack(bits)
    packed = {"codes": codes, "scales": scales, "zero_points": zero_points}
    node = helper.make_node(
        "MatMulNBits", ["x", *packed], ["y"], domain="com.microsoft",
        K=inputs, N=OUTPUTS, bits=bits, block_size=block_size,
    )  # fmt: skip
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in "xy"]
    constants = [numpy_helper.from_array(array, name) for name, array in packed.items()]
    graph = helper.make_graph([node], "g", ports[:1], ports[1:], constants)
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("inputs", [192, 200, 96])  # whole blocks, a part of one, an odd number of them
def test_the_runtimes_operator_reads_the_packed_blocks(inputs: int, bits: int) -> None:
    x = correlated(inputs, 7)
    for blocks in (round_nearest(weights(inputs), 32, bits), round_blocks(weights(inputs), moment(x), 32, bits)):
        dense = blocks.dense(inputs)
        assert dense.shape == (inputs, OUTPUTS) and blocks.codes.shape == (OUTPUTS, -(-inputs // 32), 32)
        np.testing.assert_allclose(multiplied(x, blocks, inputs, 32, bits), x @ dense, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("block_size", [16, 32, 128])
@pytest.mark.parametrize("bits", [4, 8])
def test_compensated_rounding_changes_products_less_than_the_nearest(bits: int, block_size: int) -> None:
    seen, fresh = np.split(correlated(rows=4000), 2)
    exact = fresh @ weights()
    nearest = fresh @ round_nearest(weights(), block_size, bits).dense(INPUTS)
    compensated = fresh @ round_blocks(weights(), moment(seen), block_size, bits).dense(INPUTS)
    assert np.linalg.norm(compensated - exact) < 0.7 * np.linalg.norm(nearest - exact)


@pytest.mark.parametrize("bits", [4, 8])
def test_inputs_that_tell_nothing_of_each_other_are_rounded_to_the_nearest(bits: int) -> None:
    nearest = round_nearest(weights(), 32, bits)
    for diagonal in (np.ones(INPUTS), np.zeros(INPUTS)):
        found = round_blocks(weights(), np.diag(diagonal), 32, bits)
        assert all((a == b).all() for a, b in zip(found, nearest, strict=True))


@pytest.mark.parametrize("bits", [4, 8])
def test_weights_that_lie_on_the_levels_are_kept(bits: int) -> None:
    levels = 2**bits - 1
    exact = np.random.default_rng(0).integers(0, levels + 1, (64, OUTPUTS)).astype(np.float32) - levels // 2
    exact[::32], exact[1::32] = -(levels // 2), levels - levels // 2  # every block has the whole range
    blocks = round_nearest(exact / 8, 32, bits)
    np.testing.assert_allclose(blocks.dense(64), exact / 8, rtol=1e-6)


def test_weights_of_zero_stay_zero() -> None:
    zeros = np.zeros((INPUTS, OUTPUTS), np.float32)
    for blocks in (round_nearest(zeros, 32), round_blocks(zeros, moment(correlated()), 32)):
        assert not blocks.dense(INPUTS).any()


def test_the_callers_weights_are_left_as_they_are() -> None:
    given = weights()
    round_blocks(given, moment(correlated()), 32)
    assert (given == weights()).all()
