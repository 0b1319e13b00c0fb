"""What an engine measures of a batch whose steps take as long as the test says."""

import pytest

from service.batch import Batch
from service.inbox import Inbox
from service.metrics.measures import Measures
from service.request import GenerationRequest, StopConditions
from service.sequence import Sequence
from service.stream import Stream
from tests.service.engine.fake import FakeRunner


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TimedRunner(FakeRunner):
    """Every step of prompts takes a second, every other a hundredth."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(chunk="single")
        self.clock = clock

    def step(self, rows, first, tokens, lengths, indices=None):
        self.clock.now += 1.0 if tokens.shape[1] > 1 else 0.01
        return super().step(rows, first, tokens, lengths, indices)


class Run:
    """A batch and its clock."""

    def __init__(self, rows: int = 8) -> None:
        self.clock = Clock()
        self.batch = Batch(TimedRunner(self.clock), rows, 64, self.clock)

    @property
    def measures(self) -> Measures:
        return self.batch.measures

    def add(self, new: int, resume: tuple[int, ...] = (), arrived: float | None = None, samples: int = 1) -> None:
        request = GenerationRequest(
            "r", (1, 2, 3), StopConditions(new), resume=resume, arrived=arrived, samples=samples
        )
        self.batch.add(Sequence(Stream(request, Inbox(), self.clock), self.clock()))

    def until_idle(self) -> None:
        while not self.batch.idle:
            self.batch.iterate()


def count(histogram) -> int:
    return int(histogram.cumulative()[-1][1])


def test_every_token_but_the_first_has_a_time_since_the_last():
    run = Run()
    run.add(new=10)
    run.add(new=10)
    run.until_idle()
    assert count(run.measures.inter_token) == 2 * 9
    assert run.measures.inter_token.total == pytest.approx(2 * 9 * 0.01)


def test_a_prompt_that_comes_between_makes_those_that_run_wait():
    run = Run()
    run.add(new=5)
    run.batch.iterate()
    run.add(new=1)
    run.until_idle()
    # 0.01 s four times, and once the prompt's second before it.
    assert count(run.measures.inter_token) == 4
    assert run.measures.inter_token.total == pytest.approx(4 * 0.01 + 1.0)


def test_tokens_that_are_replayed_are_none():
    run = Run()
    run.add(new=10, resume=(5, 6, 7))
    run.until_idle()
    assert count(run.measures.inter_token) == 10 - 3
    assert count(run.measures.first_token) == 0
    assert (run.measures.resumed, run.measures.resumed_tokens) == (1, 3)


def test_a_requests_times_are_those_of_the_clock():
    run = Run(rows=1)
    run.add(new=11, arrived=99.5)
    run.add(new=1, arrived=99.75)
    run.until_idle()
    measures = run.measures
    first = 1.0
    second = 1.0 + 10 * 0.01  # the row is free when the first has its tokens
    assert measures.queue_time.total == pytest.approx(second)
    assert measures.prefill_time.total == pytest.approx(2.0)
    assert measures.first_token.total == pytest.approx((0.5 + first) + (0.25 + second + 1.0))
    assert [count(each) for each in (measures.queue_time, measures.prefill_time, measures.first_token)] == [2, 2, 2]


def test_steps_are_told_by_phase_with_the_rows_that_shared_them():
    run = Run()
    run.add(new=4, samples=3)
    run.until_idle()
    measures = run.measures
    assert (count(measures.prefill_step), count(measures.decode_step)) == (1, 3)
    assert measures.prefill_step.total == pytest.approx(1.0)
    assert measures.decode_step.total == pytest.approx(0.03)
    assert (measures.step_rows.total, dict(measures.step_rows.cumulative())["2.0"]) == (9, 0)


def test_requests_that_only_want_scores_have_no_first_token():
    run = Run()
    run.add(new=0)
    run.until_idle()
    assert (count(run.measures.first_token), count(run.measures.prefill_time)) == (0, 1)


def test_tokens_of_a_draft_share_the_time_of_their_step():
    measures = Measures()
    measures.decode(rows=2, fresh=2, drawn=2, began=0.0, now=0.1)
    measures.decode(rows=2, fresh=0, drawn=8, began=0.1, now=0.5)
    assert count(measures.inter_token) == 2 + 8
    assert measures.inter_token.total == pytest.approx(2 * 0.1 + 2 * 0.4)
