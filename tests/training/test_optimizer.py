from __future__ import annotations

import pytest

from tests.tiny import tiny_model
from training.optimizer import build_optimizer, learning_rate
from training.settings import Optimisation

SETTINGS = Optimisation(learning_rate=1.0, warmup_steps=9, learning_rate_floor=0.1, weight_decay=0.5)


def test_matrices_decay_and_nothing_else():
    model = tiny_model("transformer-lm-learned")
    decayed, plain = build_optimizer(model, SETTINGS, fused=False).param_groups
    assert decayed["weight_decay"] == 0.5 and plain["weight_decay"] == 0.0
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert len(decayed["params"]) + len(plain["params"]) == len(names)
    for parameter in decayed["params"]:
        assert parameter.ndim == 2
        assert not any(word in names[id(parameter)] for word in ("vocabulary", "norm", "position"))
    assert all(
        parameter.ndim < 2 or "vocabulary" in names[id(parameter)] or "position" in names[id(parameter)]
        for parameter in plain["params"]
    )


def test_recurrent_matrices_decay():
    model = tiny_model("gru")
    decayed, _ = build_optimizer(model, SETTINGS, fused=False).param_groups
    assert len(decayed["params"]) == 4


def test_the_rate_warms_up_in_a_line_and_falls_on_a_cosine():
    rates = [learning_rate(SETTINGS, step, 0.0) for step in range(10)]
    assert rates == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert learning_rate(SETTINGS, 100, 0.5) == pytest.approx(0.55)
    assert learning_rate(SETTINGS, 100, 1.0) == pytest.approx(0.1)
    assert learning_rate(SETTINGS, 100, 1.5) == pytest.approx(0.1)
