"""A batch on the fake runner, driven by hand, and what its samples are alone."""

import numpy as np

from service.batch import Batch
from service.inbox import Inbox
from service.request import FinishReason, GenerationRequest, SamplingParameters, StopConditions
from service.sequence import Sequence
from service.stream import Stream
from tests.service.engine import reference
from tests.service.engine.fake import FakeRunner, last_plus_one

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
