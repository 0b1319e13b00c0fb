"""A value that is computed one way or the other: what only one side needs is computed by that side alone."""

import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from export.branches import branch, without_branches
from training.models.either import either


class TwoWays(nn.Module):
    """x² + 1 or x² + x, and once more, where one side is there already."""

    def forward(self, condition: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        shared = x * x
        first = either(condition, shared + 1, (shared * 2 + x * 2) / 2)
        return first, either(condition, shared, first.sin())


@pytest.fixture(scope="module")
def traced() -> onnx.ModelProto:
    axes = {"rows": torch.export.Dim("rows")}
    program = torch.export.export(
        TwoWays(), (torch.tensor(True), torch.ones(3)), dynamic_shapes=(None, {0: axes["rows"]}), strict=False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside of the exporter
        exported = torch.onnx.export(program, dynamo=True, opset_version=23, verbose=False)
    assert exported is not None
    return exported.model_proto


def run(model: onnx.ModelProto, condition: bool, x: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [value.name for value in model.graph.input]
    return session.run(None, dict(zip(names, (np.array(condition), x), strict=True)))


def operators(graph: onnx.GraphProto) -> list[str]:
    return [node.op_type for node in graph.node]


@pytest.fixture(scope="module")
def branched(traced: onnx.ModelProto) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(traced)
    return branch(model)


@pytest.mark.parametrize("condition", [True, False])
def test_the_side_that_the_condition_asks_for_is_computed(branched: onnx.ModelProto, condition: bool) -> None:
    x = np.linspace(-2, 2, 5, dtype=np.float32)
    first = x * x + (1 if condition else x)
    second = x * x if condition else np.sin(first)
    for found, expected in zip(run(branched, condition, x), (first, second), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_what_both_sides_need_stays_outside_and_the_rest_moves_into_the_branches(branched: onnx.ModelProto) -> None:
    assert operators(branched.graph) == ["Mul", "If", "If"]
    sides = [{item.name: operators(item.g) for item in node.attribute} for node in branched.graph.node[1:]]
    assert sides[0]["then_branch"] == ["Add"]
    assert sorted(sides[0]["else_branch"]) == ["Add", "Div", "Mul", "Mul"]
    assert sides[1] == {"then_branch": ["Identity"], "else_branch": ["Sin"]}
    assert all(entry.domain == "" for entry in branched.opset_import)


@pytest.mark.parametrize("condition", [True, False])
def test_without_branches_the_second_side_is_always_computed(branched: onnx.ModelProto, condition: bool) -> None:
    plain, x = without_branches(branched), np.linspace(-2, 2, 5, dtype=np.float32)
    assert "If" not in operators(plain.graph)
    assert "If" in operators(branched.graph)
    for found, expected in zip(run(plain, condition, x), (x * x + x, np.sin(x * x + x)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_a_branch_of_the_models_own_is_none_of_these() -> None:
    value = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    bodies = [
        onnx.helper.make_graph([onnx.helper.make_node(kind, ["x"], ["y"])], kind, [], [value])
        for kind in ("Sin", "Cos")
    ]
    node = onnx.helper.make_node("If", ["condition"], ["z"], name="own", then_branch=bodies[0], else_branch=bodies[1])
    graph = onnx.helper.make_graph([node], "g", [], [])
    assert operators(without_branches(onnx.helper.make_model(graph)).graph) == ["If"]
