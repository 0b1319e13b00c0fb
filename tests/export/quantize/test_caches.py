from pathlib import Path

import numpy as np
import onnx
import pytest

from bundle.folder import STEP_GRAPH, open_bundle
from bundle.manifest import PrecisionName
from export import compare
from export.contract import against_model, rounded_contract
from export.quantize.caches import find_attentions
from export.quantize.precision import Precision
from export.quantize.text import read_texts
from export.refusal import Refusal
from export.sequences import Maker
from export.write import Target, write_bundle
from tests.export.quantize.company import assert_rows_are_their_own, player
from tests.exported import MAX_LOSS, Bundles

LABELS = ["transformer-lm", "transformer-lm-learned", "transformer-lm-query-key-norm", "transformer"]
CASES: list[tuple[str, PrecisionName]] = [*((label, "fp32") for label in LABELS), ("transformer-lm", "w8a8")]


@pytest.mark.parametrize(("label", "precision"), CASES)
def test_every_bit_check_holds_and_the_loss_is_within_its_limit(
    bundles: Bundles, label: str, precision: PrecisionName
) -> None:
    manifest = open_bundle(bundles.precise(label, precision, "int8")).manifest
    checks = [(check.name, check.precision, check.cache) for check in manifest.parity.checks]
    before = [(check.name, "fp32", "float") for check in against_model()]
    assert checks == [*before, *((check.name, precision, "int8") for check in rounded_contract())]
    assert {check.largest_error for check in manifest.parity.checks if check.tolerance == 0} == {0}
    assert manifest.precision == precision and manifest.loss is not None and manifest.loss.loss <= MAX_LOSS


@pytest.mark.parametrize("label", LABELS)
def test_caches_take_a_quarter_of_the_memory_and_no_width_is_forbidden(bundles: Bundles, label: str) -> None:
    before, after = (open_bundle(path) for path in (bundles.path(label), bundles.precise(label, "fp32", "int8")))
    assert (before.manifest.cache, after.manifest.cache) == ("float", "int8")
    for old, new in zip(before.manifest.states, after.manifest.states, strict=True):
        assert new == old.model_copy(update={"dtype": "int8"} if old.kind == "cache" else {})
    rows = [
        sum(
            np.dtype(spec.dtype).itemsize * np.prod(spec.shape)
            for spec in bundle.manifest.states
            if spec.kind == "cache"
        )
        for bundle in (before, after)
    ]
    assert rows[0] == 4 * rows[1] > 0
    assert after.manifest.calls.block is None and before.manifest.calls.block is not None


@pytest.mark.parametrize(("label", "precision"), CASES)
def test_a_row_is_the_same_alone_among_strangers_and_in_pieces(
    bundles: Bundles, label: str, precision: PrecisionName
) -> None:
    assert_rows_are_their_own(bundles.precise(label, precision, "int8"))


def test_what_lies_behind_the_filled_entries_is_never_read(bundles: Bundles) -> None:
    here = player(bundles.precise("transformer-lm", "fp32", "int8"), 1)
    sequences = Maker(here.manifest, 16).of_lengths([12])
    clean = here.whole(sequences)
    for spec in here.manifest.states:
        if spec.kind == "cache":
            content = np.full(spec.shape, -127, np.int8)
            here.rows.memory.write(here.rows.buffers[spec.name].address(0, 0), content.view(np.uint8))
    assert compare.rows(here.whole(sequences), clean) == 0


def test_nothing_is_cut_off_on_the_text_of_calibration(bundles: Bundles) -> None:
    path = bundles.precise("transformer-lm", "fp32", "int8")
    here, bundle = player(path, 1), open_bundle(path)
    for row in read_texts(bundles.text("transformer-lm"), bundle).calibration[:4]:
        here.whole(row.fed)
        states = here.states(0)
        sizes = [np.abs(states[spec.name].astype(int)).max() for spec in bundle.manifest.states if spec.kind == "cache"]
        assert min(sizes) > 40 and max(sizes) < 127


def test_every_cache_of_attention_is_found(bundles: Bundles) -> None:
    for label in LABELS:
        graph = onnx.load(bundles.path(label) / STEP_GRAPH).graph
        caches = [spec.name for spec in open_bundle(bundles.path(label)).manifest.states if spec.kind == "cache"]
        assert [name for node in find_attentions(graph) for name in node.input[3:5]] == caches


def test_a_model_without_such_a_cache_is_refused(bundles: Bundles, tmp_path: Path) -> None:
    asked = Precision("fp32", 0.1, bundles.text("gru"), "int8")
    with pytest.raises(Refusal, match=r"^--cache int8: no cache is read and written by a GroupQueryAttention"):
        write_bundle(bundles.subject("gru"), Target(tmp_path / "models", "gru", 1), 1, asked)
    assert not (tmp_path / "models").exists()


def test_the_losses_of_precision_and_caches_count_together(bundles: Bundles, tmp_path: Path) -> None:
    asked = Precision("w8a8", 0.0, bundles.text("transformer-lm"), "int8")
    with pytest.raises(Refusal, match=r"^--precision w8a8( --cache int8: perplexity grows|: no product can be)"):
        write_bundle(bundles.subject("transformer-lm"), Target(tmp_path / "models", "t", 1), 1, asked)
    asked = Precision("fp32", -0.5, bundles.text("transformer-lm"), "int8")
    with pytest.raises(Refusal, match=r"^--cache int8: perplexity grows by .* --max-loss allows"):
        write_bundle(bundles.subject("transformer-lm"), Target(tmp_path / "models", "t", 1), 1, asked)
    assert not (tmp_path / "models").exists()


def test_rounded_values_are_compared_as_shares_and_other_integers_as_they_are() -> None:
    eight, sixteen = (np.array([-128, 64], kind) for kind in (np.int8, np.int64))
    assert compare.relative(eight + np.array([0, 32], np.int8), eight) == 0.25
    assert compare.relative(sixteen + 1, sixteen) == 1
