"""A long prompt beside a running sample: in how many steps, by the wait that is allowed, and always the same tokens."""

import time

import pytest

from bundle.folder import open_bundle
from bundle.runner import Runner
from service.batch import Batch
from service.inbox import Inbox
from service.request import GenerationRequest, SamplingParameters, StopConditions
from service.sequence import Sequence
from service.stream import Stream

PROMPT = tuple(range(5, 45))


@pytest.fixture(scope="module", params=["gru", "transformer-lm"])
def runner(request, bundles):
    return Runner(open_bundle(bundles.path(request.param)), threads=1, spin=False)


def submit(batch, prompt, new):
    request = GenerationRequest("r", prompt, StopConditions(new), sampling=SamplingParameters(temperature=0))
    stream = Stream(request, Inbox(), time.monotonic)
    batch.add(Sequence(stream, time.monotonic()))
    return stream


def steps_until_first_token(runner, max_itl_seconds):
    """Return after how many steps beside a running sample a newcomer has its first token, and all its tokens."""
    batch = Batch(runner, 2, 16, time.monotonic, max_itl_seconds)
    submit(batch, (3, 4), 60)
    batch.iterate().hand_out()
    newcomer, steps = submit(batch, PROMPT, 9), 0
    (outlet,) = newcomer.outlets
    while not outlet.token_ids:
        batch.iterate().hand_out()
        steps += 1
    while outlet.finish is None:
        batch.iterate().hand_out()
    return steps, outlet.token_ids


def test_a_prompt_goes_in_smaller_pieces_where_running_samples_must_not_wait(runner):
    steps, tokens = steps_until_first_token(runner, 0.0)
    assert steps == 3, "40 tokens in pieces of 16"
    more, same = steps_until_first_token(runner, 1e-9)
    assert more == 14, "in pieces of 3, but the last two: never less"
    assert same == tokens
