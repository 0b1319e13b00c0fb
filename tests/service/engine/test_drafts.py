"""Drafts change when tokens come, and nothing else: the same tokens, ends and scores as without, with real models."""

import dataclasses
import itertools
import random
from collections import Counter

import numpy as np
import pytest

from bundle.folder import open_bundle
from bundle.runner import Runner
from service.request import Drafts, FinishReason, GenerationRequest, SamplingParameters, StopConditions
from service.stream import Cancellation
from tests.service.engine.reference import distribution
from tests.service.engine.test_every_model import Run

VERIFIERS = ("transformer-lm", "transformer-lm-learned", "transformer")
GREEDY = SamplingParameters(temperature=0)
LOOKUP, MODEL, BOTH = Drafts(prompt_lookup=True), Drafts(model="gru"), Drafts(prompt_lookup=True, model="gru")


@pytest.fixture(scope="module", params=VERIFIERS)
def runner(request, bundles):
    return Runner(open_bundle(bundles.path(request.param)), threads=1, spin=False)


@pytest.fixture(scope="module")
def target(bundles):
    return Runner(open_bundle(bundles.path("transformer-lm")), threads=1, spin=False)


@pytest.fixture(scope="module")
def drafters(bundles):
    names = ("gru", "ngram", "transformer-lm-learned")
    return {name: Runner(open_bundle(bundles.path(name)), threads=1, spin=False) for name in names}


def repeating(manifest, dice, length=14):
    """A prompt that says the same thing again and again, so that a lookup finds something."""
    phrase = [dice.randrange(manifest.vocabulary_size) for _ in range(dice.randint(1, 5))]
    return tuple((phrase * length)[:length])


def some_request(manifest, dice, **fields):
    source = None
    if manifest.has_start:
        source = tuple(dice.randrange(manifest.source_vocabulary_size) for _ in range(dice.randint(1, 12)))
    stop = StopConditions(dice.randint(1, 30), end_of_sequence=manifest.special_tokens.eos)
    return GenerationRequest("r", repeating(manifest, dice), **{"source": source, "stop": stop, **fields})


def received(runner, request, drafters=None):
    """What each sample of `request` receives: tokens, log-probabilities, why it ended, and (drafted, accepted)."""
    run = Run(runner, rows=max(2, request.samples))
    run.batch.let_draft(drafters or {})
    stream = run.submit(request)
    (parts,) = run.drain(stream)
    return parts, [stream.drafted(outlet.sample) for outlet in stream.outlets]


def assert_alike(found, expected):
    """The same tokens and ends, and log-probabilities but for rounding."""
    for left, right in zip(found, expected, strict=True):
        assert left[0] == right[0]
        assert left[2] == right[2]
        assert [score.token_id for score in left[1]] == [score.token_id for score in right[1]]
        assert [score.logprob for score in left[1]] == pytest.approx([score.logprob for score in right[1]], abs=1e-4)


CASES = {
    "greedy": {"sampling": GREEDY},
    "seeded": {"sampling": SamplingParameters(temperature=0.7), "seed": 5},
    "filtered": {"sampling": SamplingParameters(top_k=20, top_p=0.9), "seed": 6},
    "typical": {"sampling": SamplingParameters(min_p=0.02, typical_p=0.9), "seed": 6},
    "penalised": {
        "sampling": SamplingParameters(0.0, repetition_penalty=1.2, frequency_penalty=0.2, logit_bias=((4, 1.0),))
    },
    "several samples": {"sampling": SamplingParameters(temperature=0.5), "seed": 8, "samples": 2},
    "scored": {"sampling": GREEDY, "logprobs": True, "top_logprobs": 3},
    "waits for its end": {"sampling": GREEDY, "stop": StopConditions(20, 9, 2, tuple(range(8, 20)))},
    "ends with a token": {"sampling": GREEDY, "stop": StopConditions(30, 0, 2, tuple(range(3, 26, 5)))},
    "fills the context": {"sampling": GREEDY, "stop": StopConditions(500)},
}


@pytest.mark.parametrize("drafts", [LOOKUP, Drafts(True, None, 3)], ids=["sixteen", "three"])
@pytest.mark.parametrize("case", CASES)
def test_a_drafted_stream_is_the_undrafted_one(runner, case, drafts):
    dice = random.Random(case)
    for _ in range(2):
        request = some_request(runner.manifest, dice, **{"logprobs": True, **CASES[case]})
        expected, _ = received(runner, request)
        found, _ = received(runner, dataclasses.replace(request, drafts=drafts))
        assert_alike(found, expected)


@pytest.mark.parametrize("drafts", [MODEL, BOTH], ids=["alone", "and lookup"])
@pytest.mark.parametrize("case", CASES)
def test_so_it_is_with_a_model_that_proposes(target, drafters, case, drafts):
    dice = random.Random(case)
    request = some_request(target.manifest, dice, **{"logprobs": True, **CASES[case]})
    expected, _ = received(target, request)
    found, _ = received(target, dataclasses.replace(request, drafts=drafts), drafters)
    assert_alike(found, expected)


def test_proposals_are_taken_where_text_repeats(target):
    """A greedy tiny model falls into a loop, which the lookup follows: far fewer steps than tokens."""
    request = GenerationRequest("r", (5, 6, 7, 8), StopConditions(60), sampling=GREEDY, drafts=LOOKUP)
    run = Run(target, rows=1)
    stream = run.submit(dataclasses.replace(request, logprobs=True))
    steps = 0
    while not run.batch.idle:
        run.iterate()
        steps += 1
    drafted, accepted = stream.drafted(0)
    ((tokens, _, finish),) = run.received[stream]
    assert (len(tokens), finish) == (60, FinishReason.MAX_TOKENS)
    assert 30 < accepted <= drafted
    assert steps <= 60 - accepted + 1


@pytest.mark.parametrize("drafter", ["gru", "ngram", "transformer-lm-learned"])
def test_any_model_of_the_same_tokenizer_may_propose(target, drafters, drafter):
    request = GenerationRequest("r", (1, 40, 41, 42), StopConditions(40), sampling=GREEDY, logprobs=True)
    expected, _ = received(target, request)
    drafted = dataclasses.replace(request, drafts=Drafts(model=drafter))
    found, ((proposed, accepted),) = received(target, drafted, drafters)
    assert_alike(found, expected)
    assert 0 < accepted <= proposed


def test_a_model_that_proposes_to_itself_is_always_right(target):
    """Its proposals are drawn with the same random numbers: all are taken, at any temperature."""
    request = GenerationRequest(
        "r", (1, 40, 41, 42), StopConditions(40), seed=3, drafts=Drafts(model="itself", most=8), logprobs=True
    )
    _, ((proposed, accepted),) = received(target, request, {"itself": target})
    assert proposed == accepted > 25


def test_drafted_rows_leave_the_others_their_bits(target, drafters):
    dice = random.Random(3)
    run, plain = Run(target), []
    run.batch.let_draft(drafters)
    for number in range(18):
        request = some_request(target.manifest, dice, seed=number, logprobs=True)
        if number % 2:
            plain.append(run.submit(request))
        else:
            run.submit(dataclasses.replace(request, drafts=dice.choice([LOOKUP, MODEL, BOTH]), sampling=GREEDY))
        for _ in range(dice.randint(0, 2)):
            run.iterate()
    for stream, found in zip(plain, run.drain(*plain), strict=True):
        assert found == received(target, stream.request)[0]


def test_drafted_rows_in_a_crowd_are_what_they_are_alone(target, drafters):
    dice = random.Random(4)
    run, streams = Run(target), []
    run.batch.let_draft(drafters)
    for number in range(14):
        request = some_request(target.manifest, dice, seed=number, logprobs=True)
        streams.append(run.submit(dataclasses.replace(request, drafts=dice.choice([LOOKUP, MODEL, BOTH]))))
        for _ in range(dice.randint(0, 2)):
            run.iterate()
        if number % 5 == 4:
            left = streams.pop(dice.randrange(len(streams)))
            run.batch.cancel(Cancellation(left))
            run.received.pop(left)
    for stream, found in zip(streams, run.drain(*streams), strict=True):
        assert_alike(found, received(target, dataclasses.replace(stream.request, drafts=None))[0])


def test_a_drafted_stream_is_resumed(target):
    dice = random.Random(5)
    for cut in (1, 4, 9):
        request = some_request(target.manifest, dice, stop=StopConditions(24), sampling=GREEDY, logprobs=True)
        ((tokens, scores, finish),), _ = received(target, request)
        resumed = dataclasses.replace(request, resume=tuple(tokens[:cut]), drafts=LOOKUP)
        found, _ = received(target, resumed)
        assert_alike(found, [[tokens[cut:], scores[cut:], finish]])


def test_a_deadline_ends_a_sample_with_what_it_has(target):
    now = [0.0]
    run = Run(target, rows=1, clock=lambda: now[0])
    request = GenerationRequest("r", (5, 6, 5, 6), StopConditions(50), sampling=GREEDY, deadline=1.0, drafts=LOOKUP)
    stream = run.submit(dataclasses.replace(request, logprobs=True))
    for _ in range(4):
        run.iterate()
    before = len(run.received[stream][0][0])
    now[0] = 2.0
    run.iterate()
    ((tokens, _, finish),) = run.received[stream]
    assert finish is FinishReason.DEADLINE
    assert len(tokens) == before + 1
    assert run.batch.idle


def test_cancelled_samples_leave_nothing_behind(target, drafters):
    run = Run(target, rows=4)
    run.batch.let_draft(drafters)
    for _ in range(12):  # more often than the draft model has rows
        request = GenerationRequest("r", (1, 40, 41), StopConditions(50), sampling=GREEDY, drafts=BOTH)
        stream = run.submit(dataclasses.replace(request, logprobs=True))
        for _ in range(3):
            run.iterate()
        run.batch.cancel(Cancellation(stream))
        run.received.pop(stream)
    assert run.batch.idle


def test_a_model_that_is_always_wrong_is_asked_ever_less(target, drafters, monkeypatch):
    """By a clock that ticks when it is looked at: a step takes two ticks, however many tokens, and a proposal one."""
    asked = []

    def wrong(self, own, tokens, count, sampler, place):
        asked.append(place[1])
        return [9] * count

    monkeypatch.setattr("service.draft_model.DraftModel.propose", wrong)
    sampling = SamplingParameters(temperature=0, banned=(9,))
    request = GenerationRequest("r", (1, 40), StopConditions(62), sampling=sampling, drafts=MODEL, logprobs=True)
    run = Run(target, rows=1, clock=itertools.count().__next__)
    run.batch.let_draft(drafters)
    stream = run.submit(request)
    ((tokens, _, _),) = run.drain(stream)[0]
    assert len(tokens) == 62
    assert stream.drafted(0)[1] == 0
    gaps = np.diff(asked)
    assert (gaps < 16).sum() <= 3  # until it is known
    assert (gaps[gaps >= 16] == [17, 33][: (gaps >= 16).sum()]).all()
    assert (gaps >= 16).sum() >= 1


def joint(runner, request):
    """The exact probabilities of the first two tokens of a sample."""

    def after(tokens):
        rows = runner.allocate(1)
        logits = runner.step(rows, 0, np.array([tokens]), np.array([len(tokens)])).logits[0]
        return {token: p for token, p in enumerate(distribution(logits, request).tolist()) if p}

    return {
        (first, second): p * q
        for first, p in after(request.prompt).items()
        for second, q in after((*request.prompt, first)).items()
    }


@pytest.mark.parametrize("guess", ["likely", "likely behind the first", "impossible"])
def test_the_distribution_is_unchanged_whatever_is_proposed(target, guess, monkeypatch):
    """Chi-square of two tokens against their exact joint distribution, the second of them proposed."""
    prompt, seeds = (40, 41, 42, 40, 41, 42, 40), 3000
    sampling = SamplingParameters(top_k=4, temperature=1.3)
    request = GenerationRequest("r", prompt, StopConditions(3), sampling=sampling, drafts=LOOKUP, logprobs=True)
    exact = joint(target, request)
    seconds = Counter()
    for (_, second), p in exact.items():
        seconds[second] += p
    likeliest = {first: max((p, pair[1]) for pair, p in exact.items() if pair[0] == first)[1] for first, _ in exact}

    class Fixed:
        matched, expected = 9, None

        def __init__(self, tokens):
            self.tokens = list(tokens)

        def append(self, token):
            self.tokens.append(token)

        def propose(self, count):
            if guess == "likely":
                return [seconds.most_common(1)[0][0]] * count
            return [5 if guess == "impossible" else likeliest[self.tokens[-1]]] * count

    monkeypatch.setattr("service.drafting.Lookup", Fixed)
    run = Run(target, rows=8, chunk=64)
    streams = [run.submit(dataclasses.replace(request, seed=seed)) for seed in range(seeds)]
    found = Counter(tuple(parts[0][0][:2]) for parts in run.drain(*streams))
    drafted, accepted = np.sum([stream.drafted(0) for stream in streams], axis=0)
    assert drafted > 0.9 * seeds
    assert 5 not in seconds
    assert accepted == 0 if guess == "impossible" else 0.2 * drafted < accepted < drafted
    assert set(found) <= set(exact)
    expected = np.array([exact[cell] * seeds for cell in exact])
    chi_square = ((np.array([found[cell] for cell in exact]) - expected) ** 2 / expected)[expected > 5].sum()
    freedom = (expected > 5).sum()
    assert chi_square <= freedom + 3 * np.sqrt(2 * freedom)
