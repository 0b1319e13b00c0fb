import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from bundle.folder import START_GRAPH, STEP_GRAPH
from export.quantize.half import to_half
from tests.exported import Bundles
from tests.tiny import TINY

ROWS, TIME, SOURCE = 3, 7, 5
SIZES = {"batch": ROWS, "rows": ROWS, "time": TIME, "source": SOURCE}
KINDS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}
GRAPHS = [(label, STEP_GRAPH) for label in TINY] + [(label, START_GRAPH) for label in ("transformer", "gru-seq2seq")]


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def run(model: onnxruntime.InferenceSession, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    kinds = {value.name: KINDS[value.type] for value in model.get_inputs()}
    results = model.run(None, {name: feeds[name].astype(kind) for name, kind in kinds.items()})
    return dict(zip((value.name for value in model.get_outputs()), results, strict=True))


def first_call(model: onnxruntime.InferenceSession) -> dict[str, np.ndarray]:
    """What a graph takes: tokens, lengths and states of any value; integer states count what is there: nothing yet."""
    random = np.random.default_rng(0)
    known = {
        "lengths": np.full(ROWS, SOURCE if "source" in [value.name for value in model.get_inputs()] else TIME),
        "logits_indices": np.arange(ROWS) * TIME + TIME - 1,
        "memory_length": np.full(ROWS, SOURCE),
    }
    feeds = {}
    for value in model.get_inputs():
        shape = [SIZES.get(axis, axis) for axis in value.shape]
        if value.name in ("tokens", "source"):
            feeds[value.name] = random.integers(3, 25, shape)
        elif value.name in known:
            feeds[value.name] = known[value.name]
        else:
            feeds[value.name] = random.standard_normal(shape) * (value.type == "tensor(float)")
    return feeds


def next_call(feeds: dict[str, np.ndarray], results: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    after = {name.removesuffix("_next"): value for name, value in results.items() if name.endswith("_next")}
    one = {"tokens": feeds["tokens"][:, :1], "lengths": np.ones(ROWS), "logits_indices": np.arange(ROWS)}
    return feeds | after | one


@pytest.mark.parametrize(("label", "name"), GRAPHS)
def test_a_graph_in_half_precision_says_nearly_the_same(bundles: Bundles, label: str, name: str) -> None:
    model = onnx.load(bundles.path(label) / name)
    half = to_half(model)
    onnx.checker.check_model(half, full_check=True)
    exact, rough = session(model), session(half)
    feeds = {"exact": first_call(exact), "rough": first_call(exact)}
    for _ in range(3 if name == STEP_GRAPH else 1):
        results = {"exact": run(exact, feeds["exact"]), "rough": run(rough, feeds["rough"])}
        for output, expected in results["exact"].items():
            found = results["rough"][output]
            if expected.dtype == np.float32:
                assert found.dtype == (np.float32 if output in ("logits", "top_values") else np.float16), output
                largest = max(1.0, np.abs(expected).max())
                np.testing.assert_allclose(found, expected, atol=4e-3 * largest, rtol=0, err_msg=output)
            elif output != "top_indices":
                assert (found == expected).all(), output
        if name == STEP_GRAPH:
            chosen = np.take_along_axis(results["rough"]["logits"], results["rough"]["top_indices"], axis=1)
            assert (chosen == results["rough"]["top_values"]).all()
            feeds = {kind: next_call(feeds[kind], results[kind]) for kind in feeds}


def test_weights_take_half_the_room_and_the_given_model_stays_as_it_is(bundles: Bundles) -> None:
    model = onnx.load(bundles.path("transformer-lm") / STEP_GRAPH)
    before = model.SerializeToString(deterministic=True)
    half = to_half(model)
    sizes = [sum(len(tensor.raw_data) for tensor in each.graph.initializer) for each in (model, half)]
    assert sizes[1] < 0.55 * sizes[0]
    assert model.SerializeToString(deterministic=True) == before


def small(nodes: list[onnx.NodeProto], kind: int, weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])]
    inputs += [helper.make_tensor_value_info("n", kind, [4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


def test_positions_stay_in_single_precision_until_they_meet_values() -> None:
    nodes = [
        helper.make_node("Cast", ["n"], ["position"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["position", "frequency"], ["angle"]),
        helper.make_node("Sin", ["angle"], ["sine"]),
        helper.make_node("Add", ["x", "sine"], ["y"]),
    ]
    model = to_half(small(nodes, TensorProto.INT64, {"frequency": np.array([0.3], np.float32)}))
    positions = np.array([4097, 9001, 70001, 33333])
    (found,) = session(model).run(None, {"x": np.zeros(4, np.float16), "n": positions})
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, np.sin(positions.astype(np.float32) * np.float32(0.3)), atol=1e-3)


def test_weights_out_of_range_become_the_largest_number_and_infinity_stays() -> None:
    weights = np.array([1e9, -1e9, np.inf, 1.5], np.float32)
    model = to_half(small([helper.make_node("Min", ["x", "n", "w"], ["y"])], TensorProto.FLOAT, {"w": weights}))
    large = np.full(4, np.inf, np.float16)
    (found,) = session(model).run(None, {"x": large, "n": large})
    assert found.tolist() == [65504.0, -65504.0, np.inf, 1.5]


def test_inputs_and_outputs_that_are_kept_stay_in_single_precision() -> None:
    node = helper.make_node("Add", ["x", "n"], ["y"])
    model = to_half(small([node], TensorProto.FLOAT, {}), kept={"n", "y"})
    kinds = [value.type.tensor_type.elem_type for value in [*model.graph.input, *model.graph.output]]
    assert kinds == [TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.FLOAT]
    (found,) = session(model).run(None, {"x": np.ones(4, np.float16), "n": np.ones(4, np.float32)})
    assert found.dtype == np.float32 and found.tolist() == [2.0] * 4
