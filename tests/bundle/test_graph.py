"""What graphs may hold: those of every model, and nothing that was made to do harm."""

import random
import shutil
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.reliability import graphs
from benchmarks.reliability.damage import sign
from bundle.folder import START_GRAPH, STEP_GRAPH, BundleError, open_bundle
from bundle.graph import CONTRIBUTED, GraphError, check_graph
from bundle.threads import open_runner
from tests.exported import Bundles
from tests.tiny import TINY

REASONS = {
    "custom_operator": "uses the operator 'evil::Shell'; allowed: those of the standard, and of com.microsoft ",
    "unknown_operator": "ONNX Runtime does not load it",
    "python_operator": "uses the operator 'com.microsoft::PythonOp'",
    "endless_loop": "uses the operator 'Loop'; allowed: those of the standard but ",
    "deep_branches": "has graphs inside of graphs, 5 deep; allowed: 4",
    "own_function": "uses the operator 'own::Again'",
    "enormous_constant": "makes a tensor of [1099511627776] by ConstantOfShape; allowed: 2147483648 elements",
    "enormous_range": "makes a tensor of [4611686018427387904] by Range",
    "enormous_weights": "tensor '_evil' has the shape [1073741824, 1073741824], 4611686018427387904 bytes, and holds 4",
    "overflowing_weights": "tensor '_evil' has the shape [4294967296, 4294967296]",
    "negative_weights": "tensor '_evil' has the shape [-1, -4]",
    "sparse_weights": "holds a sparse tensor",
    "zero_stride": "has 0 among strides; allowed: 1 to ",
    "swapped_outputs": "output 'logits' is ",
    "wrong_indices": "gives logits that are no numbers, or tokens outside of 0 to ",
    "change": "tensor '_evil' lies in ",
}


@pytest.fixture
def path(bundles: Bundles, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundles.path("gru"), tmp_path / "gru" / "1"))


@pytest.mark.parametrize("label", TINY)
def test_the_graphs_of_every_model_pass(bundles: Bundles, label: str) -> None:
    for name in (STEP_GRAPH, START_GRAPH):
        if (file := bundles.path(label) / name).exists():
            check_graph(file, 0)


@pytest.mark.parametrize("harm", graphs.HARMS, ids=lambda harm: harm.__name__)
def test_a_graph_that_was_made_to_do_harm_is_refused(path: Path, harm: graphs.Harm) -> None:
    graphs.harm(path / STEP_GRAPH, harm)
    sign(path)
    with pytest.raises(BundleError) as error:
        open_runner(open_bundle(path), threads=1)
    assert REASONS[harm.__name__] in str(error.value)
    assert str(error.value).isprintable()


def test_weights_lie_in_the_file_beside_the_graph_and_nowhere_else(path: Path) -> None:
    model = onnx.load(path / STEP_GRAPH)
    onnx.save(model, path / STEP_GRAPH, save_as_external_data=True, location="step.onnx.data", size_threshold=64)
    size = (path / "step.onnx.data").stat().st_size
    check_graph(path / STEP_GRAPH, size)
    with pytest.raises(GraphError, match=r"lies in 'step\.onnx\.data'; allowed: the graph itself"):
        check_graph(path / STEP_GRAPH, 0)
    with pytest.raises(GraphError, match=rf"and step\.onnx\.data {size - 1}$"):
        check_graph(path / STEP_GRAPH, size - 1)
    sign(path)
    open_runner(open_bundle(path), threads=1)


def test_weights_in_a_file_of_another_name_are_refused(path: Path) -> None:
    model = onnx.load(path / STEP_GRAPH)
    onnx.save(model, path / STEP_GRAPH, save_as_external_data=True, location="weights", size_threshold=64)
    with pytest.raises(GraphError, match=r"lies in 'weights'; allowed: step\.onnx\.data beside the graph"):
        check_graph(path / STEP_GRAPH, 1 << 30)


def test_an_empty_file_and_one_without_a_graph_are_refused(tmp_path: Path) -> None:
    for content, reason in ((b"", "is empty"), (b"\x08\x0a", "holds 0 graphs; allowed: one")):
        (tmp_path / STEP_GRAPH).write_bytes(content)
        with pytest.raises(GraphError, match=reason):
            check_graph(tmp_path / STEP_GRAPH, 0)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 1 << 30))
def test_whatever_is_flipped_the_answer_is_one_line(bundles: Bundles, tmp_path_factory, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray((bundles.path("gru") / STEP_GRAPH).read_bytes())
    for _ in range(20):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file = tmp_path_factory.mktemp("flipped") / STEP_GRAPH
    file.write_bytes(content)
    try:
        check_graph(file, 0)
    except GraphError as error:
        assert "\n" not in str(BundleError(str(error)))


def test_operators_that_exports_write_are_known() -> None:
    assert {"GroupQueryAttention", "MatMulNBits"} <= CONTRIBUTED
