"""The sampler against distributions written down from their definitions, and against itself: alone and in a crowd."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle.arrays import StepOutput
from service.candidates import largest
from service.ids import IdTable
from service.penalties import stop_ids
from service.request import GenerationRequest, SamplingParameters, StopConditions
from service.sampling import Sampler
from tests.service.engine import reference

VOCABULARY, WIDTH, END = 40, 8, 2


def request(sampling, *, seed=0, prompt=(1, 3, 3), minimum=0, stop_tokens=()):
    stop = StopConditions(100, min_new_tokens=minimum, end_of_sequence=END, stop_tokens=stop_tokens)
    return GenerationRequest("r", prompt, stop, sampling=sampling, seed=seed)


class Rows:
    """A sampler whose rows run the given requests."""

    def __init__(self, requests, vocabulary_size=VOCABULARY, width=WIDTH):
        stops = IdTable(len(requests))
        self.sampler = Sampler(len(requests), vocabulary_size, width, stops)
        self.width = width
        self.count = len(requests)
        for row, one in enumerate(requests):
            stops.set(row, stop_ids(one))
            self.sampler.install(row, one, one.first_sample)

    def choose(self, logits, position=0):
        output = StepOutput(logits, *largest(logits, self.width))
        tokens = self.sampler.choose(output, 0, np.full(self.count, position))
        self.sampler.record(0, tokens)
        return tokens


def some_logits(count, vocabulary_size=VOCABULARY, seed=0):
    return (np.random.default_rng(seed).normal(size=(count, vocabulary_size)) * 2).astype(np.float32)


PARAMETERS = {
    "greedy": SamplingParameters(temperature=0),
    "plain": SamplingParameters(),
    "temperature": SamplingParameters(temperature=0.6),
    "top-k": SamplingParameters(top_k=5),
    "top-k beyond the graph's": SamplingParameters(top_k=12, temperature=1.5),
    "top-p": SamplingParameters(top_p=0.7),
    "top-p beyond the graph's": SamplingParameters(top_p=0.97, temperature=2.0),
    "min-p": SamplingParameters(min_p=0.15),
    "typical": SamplingParameters(typical_p=0.6),
    "all filters": SamplingParameters(temperature=1.3, top_k=7, top_p=0.9, min_p=0.05, typical_p=0.8),
    "all filters beyond": SamplingParameters(temperature=1.3, top_k=20, top_p=0.95, min_p=0.02, typical_p=0.9),
    "top-p then typical": SamplingParameters(top_p=0.8, min_p=0.03, typical_p=0.7),
    "bias": SamplingParameters(logit_bias=((7, 3.0), (8, -50.0))),
    "banned": SamplingParameters(top_k=4, banned=(0, 1, 5, 9)),
    "penalties": SamplingParameters(repetition_penalty=1.7, presence_penalty=0.3, frequency_penalty=0.2),
    "greedy penalties": SamplingParameters(temperature=0, repetition_penalty=1.7, banned=(11,)),
    "top-p penalties": SamplingParameters(top_p=0.8, presence_penalty=-1.0, logit_bias=((4, 1.5),)),
}
VARIANTS = pytest.mark.parametrize("sampling", PARAMETERS.values(), ids=PARAMETERS.keys())


@VARIANTS
def test_tokens_follow_the_distribution(sampling):
    count = 4000
    requests = [request(sampling, seed=seed) for seed in range(count)]
    rows = Rows(requests)
    logits = np.tile(some_logits(1), (count, 1))
    expected = reference.distribution(logits[0], requests[0])
    found = np.bincount(rows.choose(logits), minlength=VOCABULARY)
    assert not found[expected == 0].any()
    wanted = expected[expected > 0] * count
    chi_square = ((found[expected > 0] - wanted) ** 2 / wanted).sum()
    freedom = len(wanted) - 1
    assert chi_square <= freedom + 5 * np.sqrt(2 * freedom) + 5


@VARIANTS
def test_a_row_alone_chooses_what_it_chooses_in_a_crowd(sampling):
    others = list(PARAMETERS.values())
    crowd = [request(sampling, seed=5, minimum=2)] + [request(one, seed=9) for one in others]
    together, alone = Rows(crowd), Rows(crowd[:1])
    for position in range(40):
        logits = some_logits(len(crowd), seed=position)
        assert together.choose(logits, position)[0] == alone.choose(logits[:1], position)[0]


@settings(max_examples=60)
@given(st.data())
def test_any_crowd_leaves_a_row_as_it_is(data):
    vocabulary_size = data.draw(st.sampled_from([5, 40, 700]))
    one = st.builds(
        SamplingParameters,
        temperature=st.sampled_from([0, 0.3, 1, 4]),
        top_k=st.sampled_from([0, 1, 5, 20]),
        top_p=st.sampled_from([1, 0.9, 0.3]),
        min_p=st.sampled_from([0, 0.1]),
        typical_p=st.sampled_from([1, 0.8]),
        repetition_penalty=st.sampled_from([1, 1.3]),
        frequency_penalty=st.sampled_from([0, 0.4]),
    )
    seed = st.integers(0, 2**64 - 1)
    requests = [
        request(data.draw(one), seed=data.draw(seed), prompt=(0, 3, 3), minimum=data.draw(st.sampled_from([0, 2])))
        for _ in range(data.draw(st.integers(2, 6)))
    ]
    together, alone = Rows(requests, vocabulary_size, 5), [Rows([one], vocabulary_size, 5) for one in requests]
    for position in range(5):
        logits = some_logits(len(requests), vocabulary_size, data.draw(st.integers(0, 1000)))
        expected = [rows.choose(logits[row : row + 1], position)[0] for row, rows in enumerate(alone)]
        assert together.choose(logits, position).tolist() == expected


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=VOCABULARY, max_size=VOCABULARY))
def test_greedy_takes_the_lowest_of_equals_either_way(values):
    logits = np.array([values, values], np.float32)
    rows = Rows([request(SamplingParameters(temperature=0)), request(SamplingParameters(temperature=0, banned=(39,)))])
    lowest = values.index(max(values))
    expected = lowest if lowest != 39 else values.index(max(values[:39]))
    assert rows.choose(logits).tolist() == [lowest, expected]


@pytest.mark.parametrize("name", ["top-k", "all filters", "top-p", "top-p beyond the graph's", "top-p then typical"])
def test_the_graphs_candidates_settle_what_all_logits_would(name):
    sampling = PARAMETERS[name]
    narrow, wide = (
        Rows([request(sampling, seed=seed) for seed in range(300)], width=width) for width in (8, VOCABULARY)
    )
    logits = some_logits(300)
    assert (narrow.choose(logits) == wide.choose(logits)).mean() >= 0.99  # a sum may differ in its last bit


def test_stop_tokens_wait_for_the_least_number_of_tokens():
    logits = np.zeros((4, VOCABULARY), np.float32)
    logits[:, END], logits[:, 7], logits[:, 9] = 30, 20, 10
    greedy, drawn = SamplingParameters(temperature=0), SamplingParameters(top_k=2)
    requests = [request(one, minimum=3, stop_tokens=stops) for one in (greedy, drawn) for stops in ((), (7,))]
    rows = Rows(requests)
    assert rows.choose(logits, 2).tolist() == [7, 9, 7, 9]
    assert rows.choose(logits, 3).tolist() == [END, END, END, END]


def test_penalties_follow_the_sample():
    sampling = SamplingParameters(
        temperature=0, repetition_penalty=1.4, presence_penalty=0.5, frequency_penalty=0.7, logit_bias=((6, 2.0),)
    )
    one = request(sampling, minimum=5)
    rows = Rows([request(SamplingParameters(temperature=0)), one])
    generated = []
    for position in range(60):
        logits = some_logits(2, seed=position % 3)  # the same again and again, so that penalties decide
        expected = np.argmax(reference.penalised(logits[1], one, generated, stop_ids(one)))
        token = rows.choose(logits, position)[1]
        assert token == expected
        generated.append(int(token))
    assert len(set(generated)) > 5


def test_a_moved_row_goes_on_as_before():
    sampling = PARAMETERS["top-p penalties"]
    stay, move = (Rows([request(PARAMETERS["plain"]), request(sampling, seed=3)]) for _ in range(2))
    for position in range(20):
        logits = some_logits(2, seed=position)
        expected = stay.choose(logits, position)[1]
        if position == 10:
            move.sampler.move(1, 0)
        found = move.choose(logits if position < 10 else logits[::-1].copy(), position)
        assert found[1 if position < 10 else 0] == expected


def test_samples_of_one_seed_differ():
    rows = Rows([request(SamplingParameters(), seed=1) for _ in range(2)])
    rows.sampler.install(1, request(SamplingParameters(), seed=1), 1)
    logits = np.zeros((2, VOCABULARY), np.float32)
    tokens = np.array([rows.choose(logits, position) for position in range(20)])
    assert (tokens[:, 0] != tokens[:, 1]).any()
