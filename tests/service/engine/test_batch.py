"""The batch under churn, with a runner whose sequences are known: rows dense, nothing lost, everything as if alone."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.batch import Batch
from service.inbox import Inbox
from service.request import FinishReason, GenerationRequest, SamplingParameters, StopConditions
from service.sequence import Sequence
from service.stream import Cancellation, Stream
from tests.service.engine import reference
from tests.service.engine.fake import FakeRunner, last_plus_one, scrambled

GREEDY = SamplingParameters(temperature=0)
ROWS, CHUNK, VOCABULARY = 4, 6, 50


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Bench:
    """A batch, and what its streams have received."""

    def __init__(self, logits=last_plus_one, rows=ROWS, **runner):
        self.clock = Clock()
        self.runner = FakeRunner(logits, vocabulary_size=VOCABULARY, **runner)
        self.batch = Batch(self.runner, rows, CHUNK, self.clock)
        self.received = {}
        self.finishes = {}
        self.prompt_scores = {}

    def submit(self, prompt, new=5, **others):
        stop = others.pop("stop", None) or StopConditions(new)
        others.setdefault("sampling", GREEDY)
        request = GenerationRequest("r", tuple(prompt), stop, **others)
        stream = Stream(request, Inbox(), self.clock)
        self.batch.add(Sequence(stream, self.clock()))
        for outlet in stream.outlets:
            self.received[outlet] = []
        return stream

    def iterate(self):
        self.clock.now += 1
        self.batch.iterate().hand_out()
        for outlet in self.received:
            if (chunk := outlet.take()) is not None:
                assert chunk.position == len(self.received[outlet]) + len(outlet.stream.request.resume)
                self.received[outlet] += chunk.token_ids
                if chunk.prompt_scores is not None:
                    self.prompt_scores[outlet] = chunk.prompt_scores
                if chunk.finish is not None:
                    assert outlet not in self.finishes, "a sample ends once"
                    self.finishes[outlet] = chunk.finish

    def drain(self):
        while not self.batch.idle:
            self.iterate()
        assert self.batch.running == 0

    def tokens(self, stream):
        return [self.received[outlet] for outlet in stream.outlets]

    def reasons(self, stream):
        return [self.finishes[outlet].reason for outlet in stream.outlets]


def alone(request, logits, limit=None):
    """What a sample of a greedy request is, computed one token at a time, and why it ends."""
    generated = []
    source = request.source or ()
    while True:
        if limit is not None and len(request.prompt) + len(generated) >= limit:
            return generated, FinishReason.CONTEXT_FULL
        now = logits([*source, *request.prompt, *generated], VOCABULARY)
        token = int(np.argmax(reference.penalised(now, request, generated, ())))
        if len(generated) < len(request.resume):
            token = request.resume[len(generated)]
        generated.append(token)
        if token == request.stop.end_of_sequence:
            return generated, FinishReason.END_OF_SEQUENCE
        if token in request.stop.stop_tokens:
            return generated, FinishReason.STOP_TOKEN
        if len(generated) >= request.stop.max_new_tokens:
            return generated, FinishReason.MAX_TOKENS


class Churn(RuleBasedStateMachine):
    """Requests come and go in any order; what is received is what each would have received alone."""

    @initialize(chunk=st.sampled_from(["batch", "single"]), limit=st.sampled_from([None, 24]), source=st.booleans())
    def begin(self, chunk, limit, source):
        self.limit, self.source = limit, source
        self.bench = Bench(scrambled, chunk=chunk, context_limit=limit, source=source)
        self.streams, self.cancelled = [], set()

    @rule(
        prompt=st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=20),
        new=st.integers(0, 8),
        samples=st.integers(1, 3),
        stops=st.lists(st.integers(0, VOCABULARY - 1), max_size=4),
        ends=st.booleans(),
        resume=st.lists(st.integers(0, VOCABULARY - 1), max_size=4),
        penalty=st.sampled_from([1.0, 1.0, 1.5]),
        lifetime=st.sampled_from([None, None, None, 2, 10]),
    )
    def submit(self, prompt, new, samples, stops, ends, resume, penalty, lifetime):
        self.streams.append(
            self.bench.submit(
                prompt,
                stop=StopConditions(new, end_of_sequence=2 if ends else None, stop_tokens=tuple(stops)),
                sampling=SamplingParameters(temperature=0, repetition_penalty=penalty),
                samples=samples,
                resume=tuple(resume) if samples == 1 and len(resume) <= new else (),
                source=tuple(prompt[:3]) if self.source else None,
                deadline=None if lifetime is None else self.bench.clock.now + lifetime,
            )
        )

    @rule()
    def iterate(self):
        self.bench.iterate()

    @precondition(lambda self: getattr(self, "streams", None))
    @rule(data=st.data())
    def cancel(self, data):
        stream = data.draw(st.sampled_from(self.streams))
        self.cancelled |= set(stream.outlets)
        for outlet in stream.outlets:
            outlet.close()
        self.bench.batch.cancel(Cancellation(stream))

    @precondition(lambda self: getattr(self, "streams", None))
    @rule(data=st.data())
    def cancel_sample(self, data):
        outlet = data.draw(st.sampled_from(data.draw(st.sampled_from(self.streams)).outlets))
        self.cancelled.add(outlet)
        outlet.close()
        self.bench.batch.cancel(Cancellation(outlet.stream, outlet.sample))

    @invariant()
    def rows_are_dense_and_nobody_is_in_two(self):
        batch = self.bench.batch
        slots = batch._slots
        assert batch.running <= ROWS
        assert len(set(slots.outlets)) == slots.used
        assert not self.cancelled & set(slots.outlets), "a cancelled sample has no row"
        for row, outlet in enumerate(slots.outlets):
            request = outlet.stream.request
            generated = int(slots.generated[row])
            consumed = self.bench.runner.rows.consumed[row]
            assert consumed[: len(request.prompt)] == list(request.prompt)
            assert len(consumed) == len(request.prompt) + generated - 1

    def teardown(self):
        if not hasattr(self, "bench"):
            return
        self.bench.drain()
        for stream in self.streams:
            for outlet in set(stream.outlets) - self.cancelled:
                self.check(outlet)
        started = [
            sequence_start(stream, self.bench) for stream in self.streams if not set(stream.outlets) & self.cancelled
        ]
        started = [start for start in started if start is not None]
        assert started == sorted(started), "first come, first served"

    def check(self, outlet):
        request = outlet.stream.request
        expected, reason = alone(request, scrambled, self.limit)
        if request.stop.max_new_tokens == 0:
            expected, reason = [], FinishReason.MAX_TOKENS
        finish = self.bench.finishes[outlet]
        received = [*request.resume[: finish.generated_tokens], *self.bench.received[outlet]]
        if finish.reason is FinishReason.DEADLINE:
            assert request.deadline is not None
            assert received == expected[: len(received)]
        else:
            assert (received, finish.reason) == (expected, reason)
            assert finish.generated_tokens == len(expected)


def sequence_start(stream, bench):
    """When the first step of a request began, or None if none did."""
    finish = bench.finishes[stream.outlets[0]]
    if finish.reason is FinishReason.DEADLINE and finish.prefill_seconds == finish.decode_seconds == 0:
        return None
    return stream._submitted + finish.queue_seconds


TestChurn = Churn.TestCase
TestChurn.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


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
    assert bench.runner.calls[0] == (0, (2, 3), (0, 0)), "two of three fill the chunk of six"
    bench.iterate()
    assert bench.runner.calls[1:] == [(0, (2, 1), (3, 1)), (2, (1, 2), (0,)), (0, (3, 1), (4, 2, 2))]


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
