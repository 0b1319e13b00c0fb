"""Prompts by products of their own: which of two graphs a call computes, and what becomes of the bits."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from bundle.folder import STEP_GRAPH, open_bundle
from bundle.manifest import CacheName
from export.contract import against_model, rounded_contract
from export.quantize.constants import nodes
from export.quantize.precision import Precision
from export.quantize.prompts import join
from export.refusal import Refusal
from export.write import Target, write_bundle
from tests.export.quantize.company import assert_rows_are_their_own
from tests.exported import Bundles

LABEL = "transformer-lm"


def step(factor: float, *more: NodeProto) -> onnx.ModelProto:
    """A step: tokens as floats, times a constant of this graph, plus one; and the count of tokens that follows."""
    constants = {"factor": np.float32(factor), "one": np.float32(1), "own": np.full(3, factor, np.float32)}
    made = [
        helper.make_node("Cast", ["tokens"], ["floats"], to=TensorProto.FLOAT),
        *(more or [helper.make_node("Mul", ["floats", "factor"], ["scaled"])]),
        helper.make_node("Add", ["scaled", "one"], ["logits"]),
        helper.make_node("Add", ["position", "lengths"], ["position_next"]),
    ]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.INT64, axes)
        for name, axes in (("tokens", ["b", "t"]), ("lengths", ["b"]), ("position", ["b"]))
    ]
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", "t"]),
        helper.make_tensor_value_info("position_next", TensorProto.INT64, ["b"]),
    ]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(made, "step", ports, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


def run(model: onnx.ModelProto, position: list[int], time: int) -> tuple[float, list[int]]:
    """Return what a token of 1 becomes, and the positions that follow."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    rows = len(position)
    fed = {"tokens": np.ones((rows, time), np.int64), "lengths": np.full(rows, time), "position": np.array(position)}
    logits, after = session.run(None, fed)
    assert logits.shape == (rows, time) and len(set(logits.ravel().tolist())) == 1
    return float(logits[0, 0]) - 1, after.tolist()


@pytest.mark.parametrize(
    ("position", "time", "factor"),
    [([5], 1, 2), ([5, 1], 1, 2), ([5, 0], 1, 3), ([0], 1, 3), ([5], 2, 3), ([0, 0], 7, 3)],
)
def test_one_token_of_rows_that_all_have_a_past_is_decoded_and_all_else_is_a_prompt(
    position: list[int], time: int, factor: float
) -> None:
    found, after = run(join(step(2), step(3), "position"), position, time)
    assert found == factor
    assert after == [each + time for each in position]


def test_what_both_compute_stands_outside_and_what_only_one_needs_inside() -> None:
    joined = join(step(2), step(3), "position").graph
    (chosen,) = (node for node in joined.node if node.op_type == "If")
    bodies = [item.g for item in chosen.attribute]
    assert [[node.op_type for node in body.node] for body in bodies] == [["Mul"], ["Mul"]]
    assert [node.op_type for node in joined.node].count("Cast") == 1
    assert [len(body.initializer) for body in bodies] == [1, 1]
    assert {"one", "decode_width"} == {tensor.name for tensor in joined.initializer}


def test_operators_that_only_one_side_has_are_computed_by_that_side() -> None:
    other = step(
        3, helper.make_node("Mul", ["floats", "factor"], ["twice"]), helper.make_node("Neg", ["twice"], ["scaled"])
    )
    joined = join(step(2), other, "position")
    assert run(joined, [5], 1)[0] == 2
    assert run(joined, [0], 1)[0] == -3


def test_graphs_that_are_alike_are_left_alone() -> None:
    assert [node.op_type for node in join(step(2), step(2), "position").graph.node] == ["Cast", "Mul", "Add", "Add"]


@pytest.fixture(params=["float", "int8"])
def cache(request: pytest.FixtureRequest) -> CacheName:
    name: CacheName = request.param
    return name


def test_every_bit_check_holds(bundles: Bundles, cache: CacheName) -> None:
    manifest = open_bundle(bundles.precise(LABEL, "int8", cache, "w8a8")).manifest
    wanted = [*against_model(), *rounded_contract(twice=True)]
    assert [check.name for check in manifest.parity.checks] == [check.name for check in wanted]
    assert {check.largest_error for check in manifest.parity.checks if check.tolerance == 0} == {0}


def test_prompts_and_tokens_have_products_of_their_own(bundles: Bundles) -> None:
    graph = onnx.load(bundles.precise(LABEL, "int8", "float", "w8a8") / STEP_GRAPH).graph
    (chosen,) = (node for node in graph.node if node.op_type == "If")
    inside = {item.name: {node.op_type for node in nodes(item.g)} for item in chosen.attribute}
    tokens, prompts = inside["then_branch"], inside["else_branch"]
    assert "MatMulNBits" in tokens and "MatMulInteger" not in tokens
    assert "MatMulInteger" in prompts


def test_a_row_is_the_same_alone_among_strangers_and_in_pieces(bundles: Bundles, cache: CacheName) -> None:
    assert_rows_are_their_own(bundles.precise(LABEL, "int8", cache, "w8a8"))


@pytest.mark.parametrize("label", ["gru", "transformer"])
def test_a_model_whose_prompts_cannot_be_told_apart_is_refused(bundles: Bundles, tmp_path: Path, label: str) -> None:
    asked = Precision("int8", 0.1, bundles.text(label), "float", "w8a8")
    with pytest.raises(Refusal, match=r"^--prompts w8a8: only for models without a source that count their tokens$"):
        write_bundle(bundles.subject(label), Target(tmp_path / "models", label, 1), 1, asked)
    assert not (tmp_path / "models").exists()
