"""Every family as it is served: a sample is the same to the bit alone, in a crowd that comes and goes, and resumed."""

import dataclasses
import random

import pytest

from bundle.folder import open_bundle
from bundle.runner import Runner
from service.batch import Batch
from service.inbox import Inbox
from service.request import GenerationRequest, SamplingParameters, StopConditions
from service.sequence import Sequence
from service.stream import Cancellation, Stream
from tests.tiny import TINY

CHUNK, ROWS = 8, 5
PROMPTS = (1, 2, 3, 5, 8, 9, 10, 16, 17, 20)  # below, at and behind the borders of chunks
SAMPLINGS = (
    SamplingParameters(temperature=0),
    SamplingParameters(),
    SamplingParameters(temperature=1.5, top_k=20),
    SamplingParameters(top_p=0.9),
    SamplingParameters(min_p=0.02, typical_p=0.9),
    SamplingParameters(repetition_penalty=1.3, frequency_penalty=0.3, logit_bias=((4, 1.0),)),
)


ROUNDED = {"transformer-lm, int8 caches": "transformer-lm", "transformer, int8 caches": "transformer"}


@pytest.fixture(scope="module", params=[*sorted(TINY), *ROUNDED])
def runner(request, bundles):
    rounded = ROUNDED.get(request.param)
    path = bundles.precise(rounded, "w8a8", "int8") if rounded else bundles.path(request.param)
    return Runner(open_bundle(path), threads=1, spin=False)


def some_request(manifest, dice, new=12):
    """A request of random shape; log-probabilities are asked for, because they show every bit of the logits."""
    prompt = tuple(dice.randrange(manifest.vocabulary_size) for _ in range(dice.choice(PROMPTS)))
    source = None
    if manifest.has_start:
        source = tuple(dice.randrange(manifest.source_vocabulary_size) for _ in range(dice.randint(1, 12)))
    return GenerationRequest(
        "r",
        prompt,
        StopConditions(new, min_new_tokens=dice.choice([0, 3]), end_of_sequence=manifest.special_tokens.eos),
        source=source,
        sampling=dice.choice(SAMPLINGS),
        seed=dice.getrandbits(64),
        logprobs=True,
        top_logprobs=2,
    )


class Run:
    """A batch, and all that its streams received: tokens, log-probabilities and ends."""

    def __init__(self, runner, rows=ROWS, chunk=CHUNK, clock=lambda: 0.0):
        self.batch = Batch(runner, rows, chunk, clock)
        self.received = {}

    def submit(self, request):
        stream = Stream(request, Inbox(), lambda: 0.0)
        self.batch.add(Sequence(stream, 0.0))
        self.received[stream] = [[[], [], None] for _ in stream.outlets]
        return stream

    def iterate(self):
        self.batch.iterate().hand_out()
        for stream, parts in self.received.items():
            for part, outlet in zip(parts, stream.outlets, strict=True):
                if (chunk := outlet.take()) is not None:
                    part[0] += chunk.token_ids
                    part[1] += chunk.logprobs
                    part[2] = chunk.finish and chunk.finish.reason

    def drain(self, *streams):
        while not self.batch.idle:
            self.iterate()
        assert self.batch.running == 0
        return [self.received[stream] for stream in streams]


def lone(runner, request, **batch):
    """What each sample of `request` receives where nothing else runs."""
    run = Run(runner, rows=request.samples, **batch)
    return run.drain(run.submit(request))[0]


def test_alone_is_in_a_crowd(runner):
    dice = random.Random(1)
    run, streams, left = Run(runner), [], []
    for _ in range(14):
        streams.append(run.submit(some_request(runner.manifest, dice)))
        for _ in range(dice.randint(0, 3)):
            run.iterate()
        if dice.random() < 0.3:
            left.append(streams.pop(dice.randrange(len(streams))))
            run.batch.cancel(Cancellation(left[-1]))
            run.received.pop(left[-1])
    for stream, found in zip(streams, run.drain(*streams), strict=True):
        assert found == lone(runner, stream.request)


def test_resumed_is_unbroken(runner):
    dice = random.Random(2)
    run, expected = Run(runner), {}
    for _ in range(8):
        request = some_request(runner.manifest, dice)
        ((tokens, scores, finish),) = lone(runner, request)
        cut = dice.randint(0, len(tokens))
        resumed = dataclasses.replace(request, resume=tuple(tokens[:cut]))
        expected[run.submit(resumed)] = [[tokens[cut:], scores[cut:], finish]]
        run.iterate()
    assert run.drain(*expected) == list(expected.values())


def test_a_fork_is_a_prefill_of_its_own(runner):
    dice = random.Random(3)
    request = some_request(runner.manifest, dice)
    forked = dataclasses.replace(request, sampling=SAMPLINGS[2], samples=3, top_logprobs=1)
    run = Run(runner)
    run.submit(some_request(runner.manifest, dice))
    run.iterate()
    (found,) = run.drain(run.submit(forked))
    for sample, part in enumerate(found):
        single = dataclasses.replace(forked, samples=1, first_sample=sample)
        assert [part] == lone(runner, single)


def test_chunks_are_one_piece(runner):
    dice = random.Random(4)
    for _ in range(4):
        request = some_request(runner.manifest, dice, new=4)
        assert lone(runner, request) == lone(runner, request, chunk=64)


def test_prompt_scores_are_those_of_the_tokens_generated(runner):
    """A continuation scored as a prompt has the log-probabilities that it had when it was drawn, but for rounding."""
    dice = random.Random(5)
    request = some_request(runner.manifest, dice)
    ((tokens, scores, _),) = lone(runner, request)
    scored = GenerationRequest(
        "r", (*request.prompt, *tokens), StopConditions(0), source=request.source, scored_from=len(request.prompt)
    )
    run = Run(runner)
    outlet = run.submit(scored).outlets[0]
    for _ in range(9):
        run.batch.iterate().hand_out()
    found = outlet.take().prompt_scores
    assert [score.token_id for score in found] == tokens
    room = 1e-4 if runner.manifest.precision == "fp32" else 0.2
    assert [score.logprob for score in found] == pytest.approx([score.logprob for score in scores], abs=room)
