from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor

from bundle.folder import START_GRAPH, STEP_GRAPH, open_bundle
from export.graph import export_step
from export.port import Port, Ports, start_ports, step_ports
from export.refusal import Refusal
from export.shape import settle_shapes
from tests.export.wrong import Sum
from tests.exported import Bundles
from tests.tiny import TINY
from training.models.step_model import SourceStepModel, State

GRAPHS = [(label, STEP_GRAPH) for label in TINY] + [(label, START_GRAPH) for label in ("transformer", "gru-seq2seq")]


def shapes(values: list[onnx.ValueInfoProto]) -> dict[str, tuple[int | str, ...]]:
    return {
        value.name: tuple(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in values
    }


def declared(ports: tuple[Port, ...]) -> dict[str, tuple[int | str, ...]]:
    return {port.name: port.axes for port in ports}


@pytest.mark.parametrize(("label", "name"), GRAPHS)
def test_inputs_and_outputs_have_the_declared_names_and_dynamic_axes(bundles: Bundles, label: str, name: str) -> None:
    graph = onnx.load(bundles.path(label) / name).graph
    model = bundles.subject(label).model
    if name == STEP_GRAPH:
        ports = step_ports(model, min(64, model.vocabulary_size))
    else:
        assert isinstance(model, SourceStepModel)
        given = {value.name for value in graph.output}
        assert given >= {spec.name for spec in model.states if spec.kind == "static"}
        ports = start_ports(model, given)
    assert shapes([*graph.input]) == declared(ports.inputs)
    assert shapes([*graph.output]) == declared(ports.outputs)


@pytest.mark.parametrize(("label", "name"), GRAPHS)
def test_a_graph_tells_nothing_about_the_machine_that_made_it(bundles: Bundles, label: str, name: str) -> None:
    path = bundles.path(label) / name
    content = path.read_bytes()
    for trace in (b".py", b"stack_trace", b"/home", b"/root", str(Path.cwd()).encode(), b"site-packages"):
        assert trace not in content
    model = onnx.load(path)
    assert model.producer_name == "seqstream" and model.ir_version == 10
    assert not model.metadata_props and not model.doc_string and not model.graph.value_info


def test_the_same_model_gives_the_same_file() -> None:
    first, second = (export_step(Sum(), 5).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_opset_is_23_and_24_only_where_the_graph_names_an_operator_of_24(bundles: Bundles) -> None:
    class Scatters(Sum):
        def step(self, tokens: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
            features, after = super().step(tokens, lengths, state)
            if torch.compiler.is_exporting():
                place = torch.zeros_like(lengths)
                features = torch.onnx.ops.symbolic(
                    "TensorScatter", [features, features, place], attrs={"axis": 1}, dtype=features.dtype,
                    shape=tuple(features.shape), version=24,
                )  # fmt: skip
            return features, after

    assert {open_bundle(bundles.path(label)).manifest.opset for label in TINY} == {23}
    assert export_step(Scatters(), 5).opset_import[0].version == 24


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        (Ports((Port("x", "float32", ("batch", 3)),), ()), "input x axis 0 (batch) is frozen to 2"),
        (Ports((Port("x", "float32", (2, 4)),), ()), "input x axis 1 is 3, declared is 4"),
        (Ports((Port("x", "float32", (2,)),), ()), "input x has 2 axes, declared are 1"),
        (Ports((Port("x", "int64", (2, 3)),), ()), "input x is float32, declared is int64"),
        (Ports((Port("z", "float32", (2, 3)),), ()), "inputs are x; declared are z"),
        (Ports((Port("x", "float32", (2, 3)),), (Port("y", "float32", (5,)),)), "output y axis 0 is 6, declared is 5"),
    ],
)
def test_a_graph_of_other_shapes_than_declared_is_refused(ports: Ports, message: str) -> None:
    tensor = onnx.helper.make_tensor_value_info
    x, y = tensor("x", onnx.TensorProto.FLOAT, [2, 3]), tensor("y", onnx.TensorProto.FLOAT, [6])
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [x], [y] if ports.outputs else []))
    with pytest.raises(Refusal) as refusal:
        settle_shapes(model, ports)
    assert str(refusal.value) == f"check 'declared axes' failed: {message}"


def test_an_output_that_the_tracer_took_for_fixed_is_declared_as_it_is() -> None:
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [6])
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [y]))
    settle_shapes(model, Ports((), (Port("y", "float32", ("batch",)),)))
    assert shapes([*model.graph.output]) == {"y": ("batch",)}
