from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from bundle.device import session_options
from bundle.folder import STEP_GRAPH
from export.quantize.inward import inward
from export.quantize.recurrent import is_plain, rowwise_recurrent
from tests.exported import Bundles

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
KINDS = {
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {"linear_before_reset": 1}),
    "rnn-sigmoid": ("RNN", {"activations": ["Sigmoid"]}),
    "rnn-tanh": ("RNN", {"activations": ["Tanh"]}),
    "rnn-relu": ("RNN", {"activations": ["Relu"]}),
}
INPUTS, WIDTHS = 19, (13, 40)  # no multiples of what vectors hold, and several of them


def layer(kind: str, width: int, **more: object) -> onnx.ModelProto:
    operator, attributes = KINDS[kind]
    random = np.random.default_rng(7)
    shapes = {
        "W": (GATES[operator] * width, INPUTS),
        "R": (GATES[operator] * width, width),
        "B": (2 * GATES[operator] * width,),
    }
    weights = [
        numpy_helper.from_array(random.standard_normal((1, *shape)).astype(np.float32) / 4, name)
        for name, shape in shapes.items()
    ]
    state = ["h", "c"] if operator == "LSTM" else ["h"]
    node = helper.make_node(
        operator, ["x", "W", "R", "B", "lengths", *state], ["y", *(f"{name}_next" for name in state)],
        name="layer", hidden_size=width, **attributes, **more,
    )  # fmt: skip
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, None, INPUTS]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, [None]),
        *(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, width]) for name in state),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1, None, width])]
    outputs += [helper.make_tensor_value_info(f"{name}_next", TensorProto.FLOAT, [1, None, width]) for name in state]
    graph = helper.make_graph([node], "g", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


def rewritten(model: onnx.ModelProto) -> onnx.ModelProto:
    nodes = rowwise_recurrent(model.graph, model.graph.node[0])
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    unread = [tensor for tensor in model.graph.initializer if tensor.name in ("W", "R", "B")]
    for tensor in unread:
        model.graph.initializer.remove(tensor)
    inward(model.graph)
    onnx.checker.check_model(model, full_check=True)
    return model


class Layer:
    """A layer in ONNX Runtime, over x [B, T, INPUTS]."""

    def __init__(self, model: onnx.ModelProto, width: int, threads: int = 1) -> None:
        options = session_options(threads)
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        self.state = [value.name for value in self.session.get_inputs()[2:]]
        self.width = width

    def start(self, rows: int) -> list[np.ndarray]:
        random = np.random.default_rng(5)
        return [random.standard_normal((1, rows, self.width)).astype(np.float32) for _ in self.state]

    def __call__(self, x: np.ndarray, lengths: Sequence[int], state: list[np.ndarray]) -> list[np.ndarray]:
        """Return outputs [B, T, width] and the next states [1, B, width]."""
        feeds = {"x": np.ascontiguousarray(x.swapaxes(0, 1)), "lengths": np.array(lengths, np.int32)}
        y, *after = self.session.run(None, feeds | dict(zip(self.state, state, strict=True)))
        return [y[:, 0].swapaxes(0, 1), *after]


def rows_of(count: int, time: int) -> np.ndarray:
    scale = np.exp(np.random.default_rng(2).standard_normal((count, 1, 1)))
    return (np.random.default_rng(3).standard_normal((count, time, INPUTS)) * scale).astype(np.float32)


def row(values: list[np.ndarray], place: int) -> list[np.ndarray]:
    return [value[:, place : place + 1] for value in values]


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_in_8_bits_is_near_the_operator(kind: str) -> None:
    plain, quantised = Layer(layer(kind, 40), 40), Layer(rewritten(layer(kind, 40)), 40)
    x, lengths = rows_of(5, 9), [9, 1, 4, 8, 9]
    expected, found = plain(x, lengths, plain.start(5)), quantised(x, lengths, plain.start(5))
    real = np.arange(9) < np.array(lengths)[:, None]
    for old, new in [(expected[0][real], found[0][real]), *zip(expected[1:], found[1:], strict=True)]:
        assert 1e-4 < np.linalg.norm(new - old) / np.linalg.norm(old) < 0.02


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_has_the_same_bits_alone_and_in_any_crowd(kind: str, width: int, threads: int) -> None:
    run = Layer(rewritten(layer(kind, width)), width, threads)
    x, state = rows_of(34, 3), run.start(34)
    alone = [run(x[place : place + 1], [3], row(state, place)) for place in range(34)]
    for crowd in range(2, 34):
        for first in (0, 1):
            found = run(x[first : first + crowd], [3] * crowd, [part[:, first : first + crowd] for part in state])
            for place in range(crowd):
                assert (found[0][place] == alone[first + place][0][0]).all()
                assert all((a == b).all() for a, b in zip(row(found[1:], place), alone[first + place][1:], strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_has_the_same_bits_whole_in_pieces_and_token_by_token(kind: str) -> None:
    run = Layer(rewritten(layer(kind, 13)), 13)
    x, start = rows_of(3, 41), run.start(3)
    whole = run(x, [41] * 3, start)
    for sizes in ([1] * 41, [7, 1, 16, 17], [40, 1], [2, 39]):
        state, outputs, done = start, [], 0
        for size in sizes:
            y, *state = run(x[:, done : done + size], [size] * 3, state)
            outputs.append(y)
            done += size
        assert (np.concatenate(outputs, axis=1) == whole[0]).all()
        assert all((a == b).all() for a, b in zip(state, whole[1:], strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_no_bit_even_where_it_is_not_a_number(kind: str) -> None:
    run = Layer(rewritten(layer(kind, 13)), 13)
    lengths = [1, 5, 9, 0, 8]
    x, start = rows_of(5, 9), run.start(5)
    for place, length in enumerate(lengths):
        x[place, length:] = np.nan
    found = run(x, lengths, start)
    assert all((a[:, 3] == b[:, 3]).all() for a, b in zip(found[1:], start, strict=True))
    for place, length in enumerate(lengths):
        if length:
            alone = run(x[place : place + 1, :length], [length], row(start, place))
            assert (found[0][place, :length] == alone[0][0]).all()
            assert all((a == b).all() for a, b in zip(row(found[1:], place), alone[1:], strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_recurrence_that_is_exported_can_be_rewritten(bundles: Bundles, kind: str) -> None:
    graph = onnx.load(bundles.path(kind) / STEP_GRAPH).graph
    recurrent = [node for node in graph.node if node.op_type in GATES]
    assert len(recurrent) == 2 and all(is_plain(graph, node) for node in recurrent)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("lstm", {"clip": 3.0}),
        ("lstm", {"direction": "reverse"}),
        ("lstm", {"input_forget": 1}),
        ("lstm", {"activations": ["Sigmoid", "Tanh", "Relu"]}),
        ("gru", {"layout": 1}),
    ],
)
def test_another_form_of_the_operator_is_refused(kind: str, more: dict[str, object]) -> None:
    graph = layer(kind, 13, **more).graph
    assert not is_plain(graph, graph.node[0])
    with pytest.raises(ValueError, match=r"node layer: .* not of the form"):
        rowwise_recurrent(graph, graph.node[0])
