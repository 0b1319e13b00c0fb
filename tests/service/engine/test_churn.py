"""Requests come and go in any order: rows dense, nothing lost, nothing twice, everything as if alone."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.request import FinishReason, SamplingParameters, StopConditions
from service.stream import Cancellation
from tests.service.engine.bench import ROWS, VOCABULARY, Bench, alone
from tests.service.engine.fake import scrambled


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
        starts = [
            None if set(stream.outlets) & self.cancelled else sequence_start(stream, self.bench)
            for stream in self.streams
        ]
        for before, (stream, start) in enumerate(zip(self.streams, starts, strict=True)):
            if start is not None:
                steps = {other for other in starts if other is not None and stream._submitted < other < start}
                assert len(steps) <= before, "every step that starts anything starts the oldest"

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
TestChurn.settings = settings(max_examples=150, stateful_step_count=40)
