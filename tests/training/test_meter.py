from __future__ import annotations

import pytest
import torch

from training.budget import Budget
from training.display import duration
from training.meter import Meter


def test_a_reading_is_the_mean_since_the_last(monkeypatch: pytest.MonkeyPatch):
    clock = iter([0.0, 2.0, 2.0, 7.0, 7.0])
    monkeypatch.setattr("training.meter.time.perf_counter", lambda: next(clock))
    meter = Meter()
    meter.add(torch.tensor(1.0), 10)
    meter.add(torch.tensor(3.0), 30)
    assert meter.read() == (2.0, 20.0)
    assert not meter.pending
    meter.add(torch.tensor(5.0), 50)
    assert meter.read() == (5.0, 10.0)
    assert meter.steps_per_second == pytest.approx((1.0 + 0.2) / 2)


def test_a_budget_ends_with_whatever_is_spent_first():
    assert Budget(100, None).spent(25, 1e6) == 0.25
    assert Budget(None, 2.0).spent(10**6, 60) == 0.5
    assert Budget(100, 2.0).spent(25, 60) == 0.5
    assert Budget(100, 2.0).seconds_left(25, 60, 10.0) == 7.5
    assert Budget(100, 2.0).seconds_left(25, 60, 0.0) == 60


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.6, "1 min"), (100, "1 min 40 s"), (3600, "1 h"), (7325, "2 h 2 min")]
)
def test_durations_read_well(seconds: float, text: str):
    assert duration(seconds) == text
