from pathlib import Path

import numpy as np
import onnx
import pytest

from bundle.folder import START_GRAPH, STEP_GRAPH, open_bundle
from bundle.manifest import PrecisionName
from bundle.runner import Runner
from export import compare
from export.contract import CROWD, against_model, rounded_contract
from export.play import Player
from export.quantize.constants import Constants, nodes
from export.quantize.precision import Precision
from export.quantize.products import find_groups
from export.refusal import Refusal
from export.sequences import Maker
from export.write import Target, write_bundle
from tests.exported import MAX_LOSS, Bundles

W8A8 = [
    "naive", "ar", "latent", "rnn-tanh", "lstm", "gru", "transformer-lm", "transformer-lm-query-key-norm",
    "transformer", "gru-seq2seq",
]  # fmt: skip
BLOCKS = ["transformer-lm", "gru", "transformer"]
CASES: list[tuple[str, PrecisionName]] = [
    *((label, "w8a8") for label in W8A8),
    *((label, precision) for precision in ("int8", "int4") for label in BLOCKS),  # type: ignore[misc]
]
INTEGERS = {
    "w8a8": {"MatMulInteger"},
    "int8": {"MatMulNBits", "MatMulInteger"},
    "int4": {"MatMulNBits", "MatMulInteger"},
}


def graphs(path: Path) -> list[onnx.GraphProto]:
    return [onnx.load(path / name).graph for name in (STEP_GRAPH, START_GRAPH) if (path / name).exists()]


@pytest.mark.parametrize(("label", "precision"), CASES)
def test_every_bit_check_holds_and_the_loss_is_within_its_limit(
    bundles: Bundles, label: str, precision: PrecisionName
) -> None:
    manifest = open_bundle(bundles.precise(label, precision)).manifest
    checks = [(check.name, check.precision) for check in manifest.parity.checks]
    expected = [(check.name, "fp32") for check in against_model()]
    names = [check.name for check in rounded_contract() if check.name != "rewound rows" or manifest.rewinds]
    assert checks == [*expected, *((name, precision) for name in names)]
    assert {check.largest_error for check in manifest.parity.checks if check.tolerance == 0} == {0}
    assert manifest.precision == precision and manifest.loss is not None
    assert (
        manifest.loss.loss == pytest.approx(manifest.loss.this / manifest.loss.fp32 - 1) and manifest.loss.tokens >= 16
    )
    assert manifest.loss.loss <= MAX_LOSS


@pytest.mark.parametrize(("label", "precision"), CASES)
def test_a_row_is_the_same_alone_and_among_strangers(bundles: Bundles, label: str, precision: PrecisionName) -> None:
    bundle = open_bundle(bundles.precise(label, precision))
    crowd = Maker(bundle.manifest, 16).of_lengths([5 + row % 3 for row in range(CROWD)])
    player = Player(Runner(bundle, threads=1), CROWD)
    together = player.whole(crowd)
    for row in (0, 7, CROWD - 1):
        assert compare.distance(player.whole(crowd.row(row))[0], together[row]) == 0


@pytest.mark.parametrize(("label", "precision"), CASES)
def test_products_are_integers_and_no_rounded_weight_is_there_twice(
    bundles: Bundles, label: str, precision: PrecisionName
) -> None:
    operators: set[str] = set()
    for graph in graphs(bundles.precise(label, precision)):
        names = {tensor.name for tensor in graph.initializer}
        operators |= {node.op_type for node in nodes(graph)}
        endings = (".int8", ".blocks8", ".blocks4", ".levels4")
        rounded = {name.rpartition(".")[0] for name in names if name.endswith(endings)}
        assert rounded.isdisjoint(names)
        assert names <= {name for node in nodes(graph) for name in node.input}, "a constant that nothing reads"
    assert operators & INTEGERS[precision]


@pytest.mark.parametrize(
    ("precision", "stored"),
    [("w8a8", [["Gather"], ["MatMulInteger"]]), ("int8", [["Gather", "MatMulNBits"]])],
)
def test_a_table_that_is_read_and_multiplied_is_stored_in_8_bits_only_and_twice_where_it_is_read_across(
    bundles: Bundles, precision: PrecisionName, stored: list[list[str]]
) -> None:
    (graph,) = graphs(bundles.precise("transformer-lm", precision))
    (before,) = graphs(bundles.path("transformer-lm"))
    size = Constants(before).shape("model.vocabulary.weight")
    tables = [tensor for tensor in graph.initializer if np.prod(tensor.dims) >= np.prod(size)]
    assert all(table.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8) for table in tables)
    readers = [sorted(node.op_type for node in graph.node if table.name in node.input) for table in tables]
    assert sorted(readers) == stored


@pytest.mark.parametrize("label", ["lstm", "gru", "rnn-tanh"])
def test_recurrent_operators_are_rounded_too(bundles: Bundles, label: str) -> None:
    (graph,) = graphs(bundles.precise(label, "w8a8"))
    assert {node.op_type for node in nodes(graph)}.isdisjoint({"LSTM", "GRU", "RNN"})


def test_nothing_is_written_where_the_loss_is_over_the_limit(bundles: Bundles, tmp_path: Path) -> None:
    asked = Precision("int4", 0.0, bundles.text("naive"))
    with pytest.raises(Refusal, match=r"--precision int4: .*--max-loss"):
        write_bundle(bundles.subject("naive"), Target(tmp_path / "models", "naive", 1), 1, asked)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("label", ["markov", "ngram"])
def test_a_model_without_products_is_refused(bundles: Bundles, tmp_path: Path, label: str) -> None:
    asked = Precision("w8a8", 0.1, bundles.text(label))
    with pytest.raises(Refusal, match=r"^--precision w8a8: the graphs multiply by no constant matrix"):
        write_bundle(bundles.subject(label), Target(tmp_path / "models", label, 1), 1, asked)


def test_every_product_of_the_float32_graphs_is_found(bundles: Bundles) -> None:
    for label in W8A8:
        for graph in graphs(bundles.path(label)):
            found = {product.output for group in find_groups(graph) for product in group.products}
            weights = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2}
            multiplied = {
                node.output[0]
                for node in nodes(graph)
                if node.op_type in ("MatMul", "Gemm") and node.input[1] in weights
            }
            assert found == multiplied
