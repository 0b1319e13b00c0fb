import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from bundle.folder import Bundle, open_bundle
from bundle.runner import Runner
from export import compare
from export.contract import CROWD
from export.play import Player
from export.quantize.activations import Activations
from export.quantize.blocks import add_levels
from export.quantize.compensate import compensate, on_levels
from export.quantize.constants import Constants
from export.quantize.convert import load, save
from export.quantize.levels import find_levels
from export.quantize.products import find_groups
from export.quantize.rewrite import rewrite
from export.quantize.rounding import round_nearest
from export.sequences import Maker
from tests.exported import Bundles

INPUTS, OUTPUTS, BLOCK = 192, 40, 32


def on_four_bits(lowest: np.ndarray | float, low: int = 0, high: int = 15) -> np.ndarray:
    """Weights [K, N] that another format rounded: steps of each block, in half precision as files keep them."""
    random = np.random.default_rng(0)
    codes = random.integers(low, high + 1, (INPUTS // BLOCK, BLOCK, OUTPUTS)).astype(np.float32)
    codes[:, 0], codes[:, 1] = low, high
    steps = random.uniform(0.01, 0.1, (INPUTS // BLOCK, 1, OUTPUTS)).astype(np.float16).astype(np.float32)
    return (codes * steps + (lowest * steps).astype(np.float16).astype(np.float32)).reshape(INPUTS, OUTPUTS)


def offsets() -> np.ndarray:
    """Lowest levels of each block, in steps: none of them a whole number."""
    return -np.random.default_rng(1).uniform(1, 14, (INPUTS // BLOCK, 1, OUTPUTS)).astype(np.float32)


def graph(weights: np.ndarray) -> onnx.ModelProto:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", "T", None]) for name in "xy"]
    made = helper.make_graph([node], "g", ports[:1], ports[1:], [numpy_helper.from_array(weights, "w")])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


def compensated(weights: np.ndarray, x: np.ndarray) -> onnx.ModelProto:
    graphs, flat = {"step.onnx": graph(weights)}, x.reshape(-1, len(weights))
    moment = flat.T.astype(np.float64) @ flat
    compensate(graphs, {("step.onnx", "x"): Activations(np.abs(flat).max(axis=0), flat[:128], moment)})
    return graphs["step.onnx"]


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})[0]


def error(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def values(rows: int = 33) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((rows, 2, INPUTS)).astype(np.float32)


def test_blocks_of_another_format_are_found_and_give_the_weights_back() -> None:
    weights = on_four_bits(offsets())
    levels = find_levels(weights, BLOCK)
    assert levels is not None and not levels.through_zero
    np.testing.assert_allclose(levels.dense(INPUTS), weights, atol=1e-5)
    # What a zero point leaves is half a step at most, and is all that is rounded again.
    assert (np.abs(levels.rests) <= 0.51 * levels.blocks.scales).all()


@pytest.mark.parametrize(("low", "high"), [(0, 15), (0, 12), (3, 11)])
def test_levels_of_which_zero_is_one_need_no_rests(low: int, high: int) -> None:
    weights = on_four_bits(-8.0, low, high)
    levels = find_levels(weights, BLOCK)
    assert levels is not None and levels.through_zero
    np.testing.assert_allclose(levels.blocks.dense(INPUTS), weights, atol=1e-5)


def test_weights_that_were_never_rounded_and_parts_of_blocks_have_no_levels() -> None:
    random = np.random.default_rng(0).standard_normal((INPUTS, OUTPUTS)).astype(np.float32)
    assert find_levels(random, BLOCK) is None
    changed = on_four_bits(offsets())
    changed[5, OUTPUTS - 1] *= 1.1
    assert find_levels(changed, BLOCK) is None
    assert find_levels(on_four_bits(offsets())[:-1], BLOCK) is None


def test_blocks_of_one_value_have_levels() -> None:
    weights = np.repeat(np.arange(-2.0, OUTPUTS - 2, dtype=np.float32)[None], INPUTS, axis=0)
    levels = find_levels(weights, BLOCK)
    assert levels is not None
    np.testing.assert_allclose(levels.dense(INPUTS), weights, atol=1e-6)


def test_the_product_on_levels_is_off_by_little_more_than_its_values_are() -> None:
    weights, x = on_four_bits(offsets()), values()
    model = compensated(weights, x)
    exact = x @ weights
    on = error(run(rewrite(model, {"x": "levels4"}), x), exact)
    nearest = error(x @ round_nearest(weights, BLOCK).dense(INPUTS), exact)
    eight = error(run(rewrite(model, {"x": "blocks8"}), x), exact)
    assert on < 1.5 * eight and on < nearest / 5


def test_a_row_on_levels_has_the_same_bits_alone_and_in_a_crowd() -> None:
    x = values()
    model = rewrite(compensated(on_four_bits(offsets()), x), {"x": "levels4"})
    crowd = run(model, x)
    assert all((run(model, x[row : row + 1])[0] == crowd[row]).all() for row in range(len(x)))


def test_only_weights_with_rests_have_a_form_of_their_own_and_all_of_them_are_kept() -> None:
    x = values()
    for lowest, own in ((offsets(), True), (-8.0, False)):
        weights = on_four_bits(lowest)
        model = compensated(weights, x)
        assert on_levels({"step.onnx": model}) == {("step.onnx", "x")}
        assert ("w.levels4" in {tensor.name for tensor in model.graph.initializer}) == own
        form = "levels4" if own else "blocks4"
        assert error(run(rewrite(model, {"x": form}), x), x @ weights) < 0.01
    assert on_levels({"step.onnx": graph(np.random.default_rng(0).random((INPUTS, OUTPUTS), np.float32))}) == set()


def test_a_model_on_levels_gives_a_row_the_same_bits_alone_and_among_strangers(
    bundles: Bundles, tmp_path: Path
) -> None:
    shutil.copytree(bundles.path("transformer-lm"), tmp_path / "bundle")
    bundle = Bundle(tmp_path / "bundle", open_bundle(bundles.path("transformer-lm")).manifest)
    model = load(bundle)["step.onnx"]
    constants, forms = Constants(model.graph), {}
    for group in find_groups(model.graph):
        for product in group.products:
            weights = product.weights(constants)
            if len(weights) % BLOCK == 0 and not group.looked_up:
                codes, scales, _ = round_nearest(weights, BLOCK)
                lows = np.random.default_rng(3).uniform(-14, -1, (*scales.shape, 1))
                moved = ((codes + lows) * scales[..., None]).reshape(len(scales), -1).T.astype(np.float32)
                constants.change(product.weight, moved.T if product.across else moved)
                levels = find_levels(moved, BLOCK)
                assert levels is not None
                add_levels(constants, product, levels)
                forms[group.name] = "levels4"
    assert len(forms) >= 4
    save(bundle, {"step.onnx": rewrite(model, forms)})
    crowd = Maker(bundle.manifest, 16).of_lengths([5 + row % 3 for row in range(CROWD)])
    player = Player(Runner(bundle, threads=1), CROWD)
    together = player.whole(crowd)
    for row in (0, 7, CROWD - 1):
        assert compare.distance(player.whole(crowd.row(row))[0], together[row]) == 0
