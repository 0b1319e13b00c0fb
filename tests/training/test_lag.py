from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.tiny import tiny_model
from training.batches import Share, WindowBatches
from training.lag import gradient_norms
from training.models.families import FAMILIES

STREAM = np.random.default_rng(0).integers(3, 40, size=2000).astype(np.uint16)
BATCH = WindowBatches(STREAM, STREAM, 16, 41, 1000, 0).training(0, Share())


def norms(family: str, **config: object) -> np.ndarray:
    torch.manual_seed(0)
    return gradient_norms(FAMILIES[family].build({"vocabulary_size": 40, "width": 32, **config}), BATCH)


def test_there_is_a_norm_for_each_lag():
    assert norms("gru").shape == (40,)


def test_the_first_lag_is_the_gradient_through_one_step():
    model = tiny_model("gru").eval()
    one = BATCH._replace(tokens=BATCH.tokens[:1], targets=BATCH.targets[:1], lengths=BATCH.lengths[:1])
    with torch.no_grad():
        _, state = model(one.tokens[:, :-1], one.lengths - 1, model.initial_state(1))
    state = {name: tensor.requires_grad_() for name, tensor in state.items()}
    logits, _ = model(one.tokens[:, -1:], torch.ones(1, dtype=torch.int64), state)
    F.cross_entropy(logits[0], one.targets[0, -1:]).backward()
    expected = torch.cat([tensor.grad.flatten() for tensor in state.values()]).norm().item()
    assert gradient_norms(model, one)[0] == pytest.approx(expected, rel=1e-4)


def test_sigmoid_vanishes_fastest_and_lstm_holds_longest():
    sigmoid, tanh = norms("rnn", activation="sigmoid"), norms("rnn", activation="tanh")
    lstm = norms("lstm")
    at = 15
    assert sigmoid[at] / sigmoid[0] < 1e-6 < tanh[at] / tanh[0] < lstm[at] / lstm[0] < 1


def test_relu_with_a_large_radius_explodes_and_with_radius_one_does_not():
    large, one = norms("rnn", activation="relu", recurrent_gain=2.0), norms("rnn", activation="relu")
    assert large[-1] / large[0] > 1e3
    assert one[-1] / one[0] < 1
