"""The batch, with a runner whose sequences are known by hand: what shares a step, what ends, what is kept apart."""

import numpy as np
import pytest

from service.request import FinishReason, SamplingParameters, StopConditions
from service.stream import Cancellation
from tests.service.engine import reference
from tests.service.engine.bench import VOCABULARY, Bench, alone
from tests.service.engine.fake import scrambled


def test_the_next_token_is_the_last_plus_one():
    bench = Bench()
    streams = [bench.submit([start], new=3) for start in (1, 48, 20)]
    bench.drain()
    assert [bench.tokens(stream)[0] for stream in streams] == [[2, 3, 4], [49, 0, 1], [21, 22, 23]]


def test_a_newcomer_has_its_first_token_after_one_iteration_and_all_rows_step_together():
    bench = Bench()
    running = bench.submit([1], new=20)
    bench.iterate()
    newcomer = bench.submit([5], new=20)
    bench.iterate()
    assert bench.tokens(newcomer)[0][0] == 6
    assert len(bench.tokens(running)[0]) == 3
    assert bench.runner.calls[-1] == (0, (2, 1), (2, 1))


def test_running_samples_step_between_the_chunks_of_a_long_prompt():
    bench = Bench(chunk="single")
    running = bench.submit([1], new=30)
    bench.iterate()
    bench.submit([7] * 20, new=2)
    for _ in range(4):
        bench.iterate()
    shapes = [(first, shape) for first, shape, _ in bench.runner.calls[2:]]
    assert shapes == [
        (1, (1, 6)),
        (0, (1, 1)),
        (1, (1, 6)),
        (0, (1, 1)),
        (1, (1, 6)),
        (0, (1, 1)),
        (1, (1, 2)),
        (0, (2, 1)),
    ]
    assert len(bench.tokens(running)[0]) == 6


def test_short_prompts_are_padded_into_one_step():
    bench = Bench()
    for prompt in ([1, 2, 3], [5], [8, 9]):
        bench.submit(prompt)
    bench.iterate()
    assert bench.runner.calls[0] == (0, (2, 3), (0, 0)), "two of three fill the chunk of six: those nearest in length"
    bench.iterate()
    assert bench.runner.calls[1:] == [(0, (2, 1), (3, 2)), (2, (1, 1), (0,)), (0, (3, 1), (4, 3, 1))]


def test_samples_share_one_prefill_and_differ_by_their_numbers():
    bench = Bench(scrambled)
    sampling = SamplingParameters(top_k=8, temperature=3.0)
    together = bench.submit([4, 5, 6], new=8, samples=3, first_sample=2, sampling=sampling, seed=9)
    bench.drain()
    assert sum(shape[1] > 1 for _, shape, _ in bench.runner.calls) == 1
    lone = [bench.submit([4, 5, 6], new=8, first_sample=sample, sampling=sampling, seed=9) for sample in (2, 3, 4)]
    bench.drain()
    assert bench.tokens(together) == [bench.tokens(stream)[0] for stream in lone]
    assert len(set(map(tuple, bench.tokens(together)))) == 3


@pytest.mark.parametrize("cut", [1, 4, 7, 8])
@pytest.mark.parametrize("sampling", [SamplingParameters(), SamplingParameters(top_k=3, frequency_penalty=1.0)])
def test_a_resumed_sample_goes_on_as_if_it_had_not_broken_off(cut, sampling):
    bench = Bench(scrambled)
    whole = bench.submit([4, 5, 6], new=8, sampling=sampling, seed=1)
    bench.drain()
    (expected,) = bench.tokens(whole)
    resumed = bench.submit([4, 5, 6], new=8, sampling=sampling, seed=1, resume=tuple(expected[:cut]))
    bench.drain()
    assert bench.tokens(resumed) == [expected[cut:]]
    assert bench.finishes[resumed.outlets[0]].generated_tokens == 8


def test_ends():
    bench = Bench(context_limit=12)
    conditions = {
        FinishReason.END_OF_SEQUENCE: StopConditions(9, end_of_sequence=5, stop_tokens=(6,)),
        FinishReason.STOP_TOKEN: StopConditions(9, stop_tokens=(9, 4)),
        FinishReason.MAX_TOKENS: StopConditions(11),
        FinishReason.CONTEXT_FULL: StopConditions(12),
    }
    streams = {reason: bench.submit([1], stop=stop) for reason, stop in conditions.items()}
    bench.drain()
    assert {reason: bench.reasons(stream) for reason, stream in streams.items()} == {r: [r] for r in conditions}
    lengths = [len(bench.tokens(stream)[0]) for stream in streams.values()]
    assert lengths == [4, 3, 11, 11]
    assert bench.finishes[streams[FinishReason.STOP_TOKEN].outlets[0]].match == 4


def test_deadlines_end_samples_with_what_they_have():
    bench = Bench(rows=1)
    running = bench.submit([1], new=50, deadline=3.0)
    waiting = bench.submit([1], new=50, deadline=2.0)
    prefilling = bench.submit([1] * 30, new=50, deadline=6.0)
    last = bench.submit([7], new=2)
    bench.drain()
    assert [bench.reasons(stream)[0] for stream in (running, waiting, prefilling)] == [FinishReason.DEADLINE] * 3
    assert bench.tokens(running)[0][:2] == [2, 3]
    assert bench.tokens(waiting) == bench.tokens(prefilling) == [[]]
    assert bench.tokens(last) == [[8, 9]]


@pytest.mark.parametrize("prompt_length", [2, 6, 7, 20])
def test_prompt_scores_are_those_of_the_whole_prompt(prompt_length):
    bench = Bench(scrambled)
    prompt = list(range(3, 3 + prompt_length))
    bench.submit([9])
    scored = bench.submit(prompt, new=0, scored_from=1, top_logprobs=2)
    tail = bench.submit(prompt, new=2, scored_from=prompt_length - 1, samples=2)
    bench.drain()
    found = bench.prompt_scores[scored.outlets[0]]
    assert [one.token_id for one in found] == prompt[1:]
    for place, one in enumerate(found, 1):
        expected = np.log(reference.softmax(scrambled(prompt[:place], VOCABULARY)))
        assert one.logprob == pytest.approx(expected[prompt[place]], abs=1e-5)
        assert [token for token, _ in one.alternatives] == np.argsort(-expected)[:2].tolist()
    assert [one.logprob for one in bench.prompt_scores[tail.outlets[0]]] == [found[-1].logprob]
    assert tail.outlets[1] not in bench.prompt_scores
    assert bench.reasons(scored) == [FinishReason.MAX_TOKENS]
    assert bench.tokens(scored) == [[]]


def test_logprobs_are_the_models_own_whatever_the_sampling():
    bench = Bench(scrambled)
    bench.submit([1])
    sampling = SamplingParameters(temperature=2.0, top_k=3, logit_bias=((3, 9.0),))
    stream = bench.submit([4], new=6, logprobs=True, top_logprobs=3, sampling=sampling)
    scored = []
    while not bench.batch.idle:
        bench.clock.now += 1
        bench.batch.iterate().hand_out()
        scored += stream.outlets[0].scored
        stream.outlets[0].scored = []
    consumed = [4]
    for one in scored:
        expected = np.log(reference.softmax(scrambled(consumed, VOCABULARY)))
        assert one.logprob == pytest.approx(expected[one.token_id], abs=1e-5)
        assert len(one.alternatives) == 3
        consumed.append(one.token_id)
    assert len(consumed) == 7


def test_a_cancelled_row_is_free_before_the_next_step():
    bench = Bench(rows=1)
    cancelled = bench.submit([1], new=1000)
    bench.iterate()
    waiting = bench.submit([5], new=2)
    bench.batch.cancel(Cancellation(cancelled))
    assert bench.batch.running == 0
    bench.iterate()
    assert bench.tokens(waiting) == [[6, 7]]


def test_a_request_for_scores_alone_leaves_its_place_to_the_others_of_its_step():
    bench = Bench(scrambled)
    scores, first, second = (
        bench.submit([start, 3], new=new, scored_from=1) for start, new in ((1, 0), (2, 4), (3, 4))
    )
    bench.drain()
    assert bench.runner.calls[0] == (0, (3, 2), (0, 0, 0))
    assert bench.tokens(scores) == [[]]
    for stream in (first, second):
        assert bench.tokens(stream)[0] == alone(stream.request, scrambled)[0]
