"""Loads and figures of `bench`, by hand."""

import math
from itertools import islice

import numpy as np
import pytest

from service.answers import Model
from service.bench.lengths import Lengths
from service.bench.level import Level
from service.bench.picture import draw
from service.bench.record import Record, Seen
from service.bench.summary import Objective, summary
from service.bench.table import remarks
from service.bench.workload import Drawn, Given, Request
from service.wire.options import Options

RATE = Level("rate", 50.0, 2.0, 10.0, None, 60.0, 7)
STREAMS = Level("streams", 5.0, 1.0, 10.0, None, 60.0, 7)


def record(intended: float, first: float, gap: float, tokens: int, error: str = "", **others) -> Record:
    arrivals = [intended + first + gap * number for number in range(tokens)]
    counts_in = others.pop("counts_in", True)
    ended = arrivals[-1] if arrivals else intended
    return Record(intended, intended, counts_in, arrivals, [1] * tokens, ended, error=error, **others)


@pytest.mark.parametrize("text", ["64", "uniform:16:128", "lognormal:100:0.8", "lognormal:1:0"])
def test_lengths_are_read_and_written_alike(text):
    assert str(Lengths.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "0", "1.5", "-3", "nan", "uniform", "uniform:5", "uniform:9:3", "uniform:0:3", "lognormal:5:-1", "zipf:3:1"],
)
def test_lengths_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="allowed: N, uniform:LEAST:MOST, or lognormal:MEDIAN:SIGMA"):
        Lengths.parse(text)


def test_lengths_have_their_distribution():
    random = np.random.default_rng(1)
    uniform = [Lengths.parse("uniform:3:6").draw(random, None) for _ in range(4000)]
    assert set(uniform) == {3, 4, 5, 6}
    assert np.mean(uniform) == pytest.approx(4.5, abs=0.1)
    logarithms = np.log([Lengths.parse("lognormal:200:0.5").draw(random, None) for _ in range(4000)])
    assert (np.mean(logarithms), np.std(logarithms)) == pytest.approx((math.log(200), 0.5), abs=0.05)
    assert max(Lengths.parse("lognormal:200:0.5").draw(random, 210) for _ in range(100)) == 210


def test_arrivals_are_a_poisson_process_that_begins_with_the_warm_up():
    arrivals = np.array(list(islice(RATE.arrivals(), 20_000)))
    gaps = np.diff(arrivals)
    assert -2.0 < arrivals[0] < -1.5
    assert (gaps.mean(), gaps.std()) == pytest.approx((1 / 50, 1 / 50), rel=0.03)
    assert np.mean(gaps > 1 / 50) == pytest.approx(math.exp(-1), abs=0.01)
    assert arrivals.tolist() == list(islice(RATE.arrivals(), 20_000)), "the same seed, the same arrivals"


def test_a_number_of_requests_ends_with_the_first_that_is_one_too_many():
    level = Level("rate", 50.0, 2.0, None, 30, 60.0, 7)
    counted = [at for at in islice(level.arrivals(), 1000) if 0.0 <= at < level.end()]
    assert len(counted) == 30


@pytest.mark.parametrize("shares", [1, 2, 3, 5])
def test_processes_have_all_streams_and_requests_together(shares):
    level = Level("streams", 5.0, 1.0, None, 17, 60.0, 7)
    assert sum(level.streams(share, shares) for share in range(shares)) == 5
    assert sum(level.counted(share, shares) for share in range(shares)) == 17


def test_latencies_are_those_of_requests_that_count_and_tokens_those_in_time():
    records = [
        record(1.0, 0.1, 0.01, 11, queue_seconds=0.05),
        record(2.0, 0.3, 0.02, 11, queue_seconds=0.25),
        record(9.95, 0.1, 0.01, 5),  # counts, but its tokens come too late to be counted
        record(-1.0, 2.0, 1.0, 3, counts_in=False),  # comes in time, but began too early
        Record(3.0, 3.0, True, error="RESOURCE_EXHAUSTED", ended=3.0),
        Record(9.0, 9.0, False),
    ]
    found = summary(RATE, [Seen(records, 10.0, 0.4), Seen([], 10.0, 0.6)], Objective(0.2, 0.015))
    assert (found.requests, found.errors, found.client_cpu) == (4, {"RESOURCE_EXHAUSTED": 1}, 0.6)
    assert (found.requests_per_second, found.tokens_per_second) == (0.3, 2.5)
    assert found.goodput == 0.2
    assert found.first_token == pytest.approx(dict(zip(
        ("p50", "p90", "p99", "p99.9"), np.percentile([0.1, 0.3, 0.1], (50, 90, 99, 99.9)), strict=True
    )))  # fmt: skip
    assert found.between_messages["p50"] == pytest.approx(0.01)
    assert found.per_token["p99.9"] == pytest.approx(0.02, rel=1e-2)
    assert found.queue["p50"] == 0.05
    assert found.whole["p50"] == pytest.approx(0.2)


def test_latency_counts_from_when_a_request_was_to_be_sent():
    late = Record(1.0, 1.5, True, [1.6], [1], 1.6, error="")
    found = summary(RATE, [Seen([late], 10.0, 0.0)], None)
    assert (found.first_token["p50"], found.late) == pytest.approx((0.6, 0.5))
    assert "sent 500 ms late" in " ".join(remarks(found))


def test_messages_of_several_tokens_are_told_from_tokens():
    coalesced = Record(0.0, 0.0, True, [0.1, 0.3], [1, 4], 0.3, error="")
    found = summary(RATE, [Seen([coalesced], 10.0, 0.0)], None)
    assert (found.tokens_per_message, found.between_messages["p50"]) == pytest.approx((2.5, 0.2))
    assert found.per_token["p50"] == pytest.approx(0.05)


def test_a_level_without_answers_has_no_percentiles():
    failed = Record(1.0, 1.0, True, error="UNAVAILABLE", ended=1.0)
    found = summary(RATE, [Seen([failed], 10.0, 0.9)], Objective(0.2))
    assert (found.first_token, found.requests_per_second, found.goodput) == ({}, 0.0, 0.0)
    assert [line.split(": ", 1)[1].split(":")[0] for line in remarks(found)] == [
        "1 of 1 requests failed",
        "a process of the client used 90% of a core",
        "1 requests are few for the percentiles at the end",
    ]


def test_requests_are_the_same_for_every_process_and_fit_the_model():
    model = Model("m", 1, "", 1, 40, 64, None, "cpu", 0, 0, special_token_ids=(0, 1, 2))
    workload = Drawn.of(model, Lengths.parse("lognormal:60:1"), Lengths.parse("lognormal:60:1"), 3)
    requests = [workload.request(index) for index in range(200)]
    assert requests == [workload.request(index) for index in range(200)]
    assert not any({0, 1, 2} & set(request.prompt) for request in requests)
    assert max(len(request.prompt) + request.options["max_new_tokens"] for request in requests) == 63


def test_requests_of_a_file_come_round_and_keep_their_options():
    given = (Request("a", Options(temperature=0.5)), Request("b", Options()))
    assert Given(given, None, 1).request(3) == given[1]
    forced = Given(given, Lengths.parse("9"), 1).request(2)
    assert forced.options == {"temperature": 0.5, "max_new_tokens": 9, "ignore_end_of_sequence": True}


def test_a_picture_is_drawn_of_levels_with_and_without_answers(tmp_path):
    good = summary(STREAMS, [Seen([record(1.0, 0.1, 0.01, 11)], 10.0, 0.4)], None)
    bad = summary(STREAMS, [Seen([Record(1.0, 1.0, True, error="UNAVAILABLE")], 10.0, 0.4)], None)
    for number, levels in enumerate(([good, bad], [bad])):
        draw(levels, "model@1", tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")
