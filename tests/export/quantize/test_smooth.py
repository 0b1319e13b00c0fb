import numpy as np
import onnx
import pytest

from bundle.folder import open_bundle
from export.quantize import rowwise
from export.quantize.activations import watch
from export.quantize.convert import load
from export.quantize.loss import log_probabilities, nats_of, perplexity
from export.quantize.products import find_groups
from export.quantize.replay import Replay
from export.quantize.rewrite import CHOICES, rewrite, selectable
from export.quantize.sensitivity import least
from export.quantize.smooth import output_error, smooth
from export.quantize.text import read_texts
from tests.exported import Bundles


@pytest.mark.parametrize("label", ["transformer-lm", "transformer-lm-query-key-norm", "transformer", "naive"])
def test_smoothing_changes_the_weights_and_not_the_function(bundles: Bundles, label: str) -> None:
    bundle = open_bundle(bundles.path(label))
    graphs, rows = load(bundle), read_texts(bundles.text(label), bundle).calibration[:4]
    before = [Replay(graphs.items(), bundle.manifest).run(row)[0] for row in rows]
    seen = watch(graphs, bundle.manifest, rows)
    factors = smooth(graphs, seen, rowwise.round_both)
    assert factors and any(not np.allclose(factor, 1) for factor in factors.values())
    after = [Replay(graphs.items(), bundle.manifest).run(row)[0] for row in rows]
    for left, right in zip(before, after, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-4 * np.abs(left).max())
    # What is said to be seen now is what is seen now.
    again = watch(graphs, bundle.manifest, rows)
    for place in seen:
        np.testing.assert_allclose(seen[place].largest, again[place].largest, rtol=1e-2, atol=1e-4)


def test_the_gated_half_and_the_values_of_attention_and_the_tied_head_are_smoothed(bundles: Bundles) -> None:
    bundle = open_bundle(bundles.path("transformer-lm"))
    graphs, rows = load(bundle), read_texts(bundles.text("transformer-lm"), bundle).calibration[:4]
    groups = {("step.onnx", group.name) for group in find_groups(graphs["step.onnx"].graph)}
    assert set(smooth(graphs, watch(graphs, bundle.manifest, rows), rowwise.round_both)) == groups


def test_an_outlier_costs_less_once_it_is_smoothed() -> None:
    random = np.random.default_rng(1)
    values = random.standard_normal((64, 32)).astype(np.float32)
    values[:, 3] *= 100
    weights = random.standard_normal((32, 48)).astype(np.float32)
    factors = np.sqrt(np.abs(values).max(axis=0))
    rough = output_error(values, weights, rowwise.round_both)
    assert output_error(values / factors, weights * factors[:, None], rowwise.round_both) < rough / 4


@pytest.mark.parametrize("label", ["transformer-lm", "gru", "latent"])
def test_a_graph_with_a_choice_computes_what_the_graph_of_that_choice_computes(bundles: Bundles, label: str) -> None:
    bundle = open_bundle(bundles.path(label))
    graphs, (row, *_) = load(bundle), read_texts(bundles.text(label), bundle).calibration
    (model,) = graphs.values()
    ladders = {group.name: ("rowwise",) for group in find_groups(model.graph)}
    replay = Replay([("step.onnx", selectable(model, ladders))], bundle.manifest, threads=1)
    for choice, forms in ((0, dict.fromkeys(ladders, "rowwise")), (1, dict[str, str]())):
        chosen = {"step.onnx": {CHOICES: np.full(len(ladders), choice, np.int64)}}
        expected = Replay([("step.onnx", rewrite(model, forms))], bundle.manifest, threads=1).run(row)[0]
        # The lookups of a tied table are rounded in one of the two only.
        np.testing.assert_allclose(replay.run(row, chosen)[0], expected, atol=0.05 * np.abs(expected).max())


def test_the_least_number_that_holds_is_found() -> None:
    for most in range(1, 20):
        for first in range(1, most + 1):
            assert least(lambda count, first=first: count >= first, most) == first  # type: ignore[misc]


def test_perplexity_is_that_of_the_model_itself(bundles: Bundles) -> None:
    import torch

    bundle = open_bundle(bundles.path("transformer"))
    rows = read_texts(bundles.text("transformer"), bundle).held_out[:5]
    model = bundles.subject("transformer").model
    nats = 0.0
    for row in rows:
        assert row.source is not None
        lengths = torch.tensor([len(row.predicted)])
        state = model.initial_state(1)
        state |= model.start(torch.from_numpy(row.source)[None], torch.tensor([len(row.source)]))  # type: ignore[operator]
        with torch.no_grad():
            logits, _ = model(torch.from_numpy(row.tokens[:-1])[None], lengths, state)
        nats += nats_of(logits[0].numpy(), row.predicted)
    expected = np.exp(nats / sum(len(row.predicted) for row in rows))
    assert perplexity(bundle, rows, 1) == pytest.approx(expected, rel=1e-4)


def test_log_probabilities_sum_to_one() -> None:
    logits = np.array([[1000.0, 0.0, -1000.0], [1.0, 1.0, 1.0]], np.float32)
    np.testing.assert_allclose(np.exp(log_probabilities(logits)).sum(axis=1), 1, rtol=1e-6)


def test_weights_of_one_column_with_one_scale_are_off_by_half_a_step_at_most() -> None:
    weights = np.random.default_rng(2).standard_normal((40, 7)).astype(np.float32)
    integers, scale = rowwise.round_columns(weights)
    assert integers.dtype == np.int8 and np.abs(integers).max() == 127
    assert (np.abs(integers * scale - weights) <= scale / 2 + 1e-6).all()
    assert onnx.helper.np_dtype_to_tensor_dtype(integers.dtype) == onnx.TensorProto.INT8
