from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from training.threads import Threads, available_cores


@pytest.fixture(autouse=True)
def _back_to_one() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


def run(threads: Threads, steps: int, seconds: dict[int, float]) -> list[int]:
    """Pretend that steps take so many seconds with so many threads; return the number each of them ran with."""
    used = []
    for _ in range(steps):
        used.append(torch.get_num_threads())
        threads.after_step(seconds[used[-1]])
    return used


def test_a_given_number_stays():
    threads = Threads((2,))
    assert set(run(threads, 50, {2: 9.0})) == {2}


@pytest.mark.parametrize(("seconds", "better"), [({2: 1.0, 1: 1.9}, 2), ({2: 30.0, 1: 1.1}, 1)])
def test_the_faster_number_is_found_and_kept(seconds: dict[int, float], better: int):
    threads = Threads((2, 1))
    used = run(threads, 100, seconds)
    assert set(used[:10]) == {1, 2}
    assert set(used[10:]) == {better}
    assert threads.current == better


def test_a_collapse_calls_for_another_trial(monkeypatch: pytest.MonkeyPatch):
    threads = Threads((2, 1))
    run(threads, 20, {2: 1.0, 1: 1.9})
    assert threads.current == 2
    monkeypatch.setattr("training.threads._SECONDS_BEFORE_NEXT", 0.0)
    run(threads, 20, {2: 50.0, 1: 2.0})
    assert threads.current == 1


def test_a_hopeless_candidate_costs_one_step():
    threads = Threads((2, 1))
    assert run(threads, 12, {2: 30.0, 1: 1.0}) == [1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1]


def test_a_trial_comes_again_less_and_less_often(monkeypatch: pytest.MonkeyPatch):
    now = 1000.0
    monkeypatch.setattr("training.threads.time.monotonic", lambda: now)
    threads = Threads((2, 1))
    trials = []
    for _ in range(400):
        if torch.get_num_threads() == 2:
            trials.append(now)
        now += 1.0
        threads.after_step(50.0 if torch.get_num_threads() == 2 else 1.0)
    assert np.diff(trials).tolist() == pytest.approx([25, 45, 85, 165], abs=4)


def test_this_process_may_use_a_core():
    assert available_cores() >= 1
