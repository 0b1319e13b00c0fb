"""What an exported step reads of its sources: places that must not be read hold what would be heard in every logit."""

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from bundle.folder import STEP_GRAPH, open_bundle
from bundle.manifest import PrecisionName
from export.graph import export_step
from tests.exported import Bundles
from training.models.families import FAMILIES

BUNDLES: list[tuple[str, PrecisionName]] = [
    ("transformer", "fp32"),
    ("transformer-norm-first", "fp32"),
    ("gru-seq2seq", "fp32"),
    ("transformer", "w8a8"),
    ("gru-seq2seq", "w8a8"),
]


def logits(
    bundles: Bundles, label: str, precision: PrecisionName, sources: list[int], read: int | list[int], past: int = 0
) -> NDArray[np.float32]:
    """Step a token in a row for each length of `sources`, behind `past` tokens.

    Of their memory only the first `read` places, of all or of each, are numbers.
    """
    bundle = open_bundle(bundles.path(label) if precision == "fp32" else bundles.precise(label, precision))
    random, rows = np.random.default_rng(4), len(sources)
    inputs = {"tokens": np.full((rows, 1), 5), "lengths": np.ones(rows, np.int64), "logits_indices": np.arange(rows)}
    for spec in bundle.manifest.states:
        inputs[spec.name] = np.zeros((rows, *spec.shape), spec.dtype)
        if spec.kind == "static" and spec.axis is not None:
            for row, count in enumerate(read if isinstance(read, list) else [read] * rows):
                places = np.moveaxis(inputs[spec.name][row], spec.axis, 0)
                places[:count] = random.standard_normal(places[:count].shape)
                places[count:] = np.nan
    inputs["memory_length"] = np.array(sources)
    if past:
        inputs["position"] = np.full(rows, past)
    session = onnxruntime.InferenceSession(bundle.path / STEP_GRAPH)
    made: NDArray[np.float32] = session.run(["logits"], inputs)[0]
    return made


@pytest.mark.parametrize(("label", "precision"), BUNDLES)
@pytest.mark.parametrize(("longest", "read"), [(1, 64), (64, 64), (65, 128), (128, 128), (129, 150), (150, 150)])
def test_a_step_reads_up_to_the_longest_source_and_the_next_multiple_of_64(
    bundles: Bundles, label: str, precision: PrecisionName, longest: int, read: int
) -> None:
    assert np.isfinite(logits(bundles, label, precision, [longest, 1], read)).all()
    assert read == 64 or np.isnan(logits(bundles, label, precision, [longest, 1], read - 64)).all()


@pytest.mark.parametrize(("label", "precision"), BUNDLES)
def test_a_row_without_a_source_gives_numbers(bundles: Bundles, label: str, precision: PrecisionName) -> None:
    assert np.isfinite(logits(bundles, label, precision, [0, 0], 64)).all()


@pytest.mark.parametrize("precision", ["fp32", "w8a8"])
@pytest.mark.parametrize("label", ["transformer", "transformer-norm-first"])
def test_a_decode_step_reads_each_source_to_its_own_end(bundles: Bundles, label: str, precision: PrecisionName) -> None:
    sources = [1, 150, 64, 7, 0]
    read = [max(1, length) for length in sources]
    assert np.isfinite(logits(bundles, label, precision, sources, read, past=3)).all()
    read[1:3] = [149, 63]
    finite = np.isfinite(logits(bundles, label, precision, sources, read, past=3)).all(axis=1)
    assert finite.tolist() == [True, False, False, True, True]


@pytest.mark.parametrize("width", [64, 192])
def test_a_row_has_the_same_bits_beside_a_longer_source_however_wide_a_head_is(width: int) -> None:
    config = {"vocabulary_size": 16, "source_vocabulary_size": 16, "width": width, "source_limit": 128}
    model = FAMILIES["gru-seq2seq"].build(config).eval()
    model.freeze()
    session = onnxruntime.InferenceSession(export_step(model, top_k=1).SerializeToString())
    random = np.random.default_rng(4)
    inputs = {"tokens": np.full((2, 1), 5), "lengths": np.ones(2, np.int64), "logits_indices": np.arange(2)}
    for spec in model.states:
        inputs[spec.name] = random.standard_normal((2, *spec.shape)).astype(spec.dtype)
    inputs["memory_length"] = np.array([5, 128])
    alone = {name: value[:1] for name, value in inputs.items()}
    assert (session.run(["logits"], inputs)[0][:1] == session.run(["logits"], alone)[0]).all()
