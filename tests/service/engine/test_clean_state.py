"""Rows are recycled, moved and forked: nothing of an earlier request is ever read, shown by NaN where it lay."""

import dataclasses
import random

import pytest

from benchmarks.reliability.poison import poison_batch
from bundle.folder import open_bundle
from bundle.rows import Rows
from bundle.runner import Runner
from service.stream import Cancellation
from tests.service.engine.test_every_model import Run, lone, some_request
from tests.tiny import TINY


@pytest.fixture(scope="module", params=sorted(TINY))
def runner(request, bundles):
    return Runner(open_bundle(bundles.path(request.param)), threads=1, spin=False)


class Poisoned(Run):
    """A run whose memory holds NaN wherever no request has put anything."""

    def iterate(self):
        poison_batch(self.batch)
        super().iterate()


def test_no_row_shows_what_lay_in_it_before(runner):
    dice = random.Random(6)
    run, streams = Poisoned(runner), []
    for _ in range(12):
        request = dataclasses.replace(some_request(runner.manifest, dice), samples=dice.choice([1, 1, 3]))
        streams.append(run.submit(request))
        for _ in range(dice.randint(0, 3)):
            run.iterate()
        if dice.random() < 0.3:
            left = streams.pop(dice.randrange(len(streams)))
            run.batch.cancel(Cancellation(left))
            run.received.pop(left)
    for stream, found in zip(streams, run.drain(*streams), strict=True):
        assert found == lone(runner, stream.request)


def test_a_row_that_is_not_cleared_would_show(bundles, monkeypatch):
    runner = Runner(open_bundle(bundles.path("gru")), threads=1, spin=False)
    request = some_request(runner.manifest, random.Random(7))
    expected = lone(runner, request)
    run = Poisoned(runner)
    monkeypatch.setattr(Rows, "reset", lambda rows, first, count: None)
    (found,) = run.drain(run.submit(request))
    assert found != expected
