"""How many threads compute: what is asked for, or what is found to pay."""

import logging

import pytest

from bundle.folder import DATA, STEP_GRAPH, Bundle, open_bundle
from bundle.manifest import FileEntry
from bundle.threads import LARGEST_MEASURED, Way, fastest, modest, open_runner, ways

ONE = Way(1, False)


@pytest.mark.parametrize(
    ("threads", "spin", "cores", "expected"),
    [
        (0, None, 1, [ONE]),
        (0, None, 2, [ONE, Way(2, False), Way(2, True)]),
        (0, None, 8, [ONE, Way(4, False), Way(4, True), Way(8, False), Way(8, True)]),
        (0, True, 2, [Way(1, True), Way(2, True)]),
        (0, False, 2, [ONE, Way(2, False)]),
        (3, None, 8, [Way(3, False), Way(3, True)]),
        (3, True, 8, [Way(3, True)]),
        (1, None, 8, [ONE]),
    ],
)
def test_what_is_told_is_kept_and_the_rest_is_tried(threads, spin, cores, expected):
    assert ways(threads, spin, cores) == expected


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        ([4.0, 3.0, 2.0], 2),
        ([4.0, 2.0, 1.9], 1),  # spinning saves too little
        ([4.0, 5.0, 9.0], 0),  # the machine is busy
        ([0.06, 0.05, 0.04], 0),  # a step costs less than its messages
    ],
)
def test_more_threads_have_to_pay(milliseconds, expected):
    assert fastest([each / 1e3 for each in milliseconds], rows=8) == expected


def test_the_choice_is_logged_with_its_figures(bundles, caplog):
    with caplog.at_level(logging.INFO):
        runner = open_runner(open_bundle(bundles.path("gru")), threads=2)
    assert runner.placement.threads == 2
    assert "gru@1: computes with 2 threads that" in caplog.text
    assert "2 threads that sleep" in caplog.text
    assert "2 threads that spin" in caplog.text


def test_a_full_context_does_not_end_the_measurement(bundles):
    bundle = open_bundle(bundles.path("transformer-lm"))
    assert bundle.manifest.context_limit is not None
    assert open_runner(bundle, threads=2).placement.threads == 2


def test_a_large_model_is_opened_once_with_every_core(bundles, caplog, monkeypatch):
    monkeypatch.setattr("bundle.threads.LARGEST_MEASURED", 1)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    with caplog.at_level(logging.INFO):
        runner = open_runner(open_bundle(bundles.path("gru")))
    assert runner.placement.threads == 3
    assert not caplog.records


def test_weights_beside_the_graph_make_a_model_large(bundles, caplog):
    bundle = open_bundle(bundles.path("gru"))
    weights = FileEntry(sha256="0" * 64, bytes=LARGEST_MEASURED + 1)
    files = {**bundle.manifest.files, STEP_GRAPH + DATA: weights}
    large = Bundle(bundle.path, bundle.manifest.model_copy(update={"files": files}))
    with caplog.at_level(logging.INFO):
        open_runner(large)
    assert "computes with" not in caplog.text


def test_a_way_that_is_given_is_taken_untried(bundles, caplog):
    with caplog.at_level(logging.INFO):
        runner = open_runner(open_bundle(bundles.path("gru")), threads=2, spin=True, way=Way(3, False))
    assert (runner.placement.threads, runner.placement.spin) == (3, False)
    assert "computes with" not in caplog.text


def test_beside_others_a_small_model_takes_what_takes_least_and_a_large_one_everything(bundles, monkeypatch):
    bundle = open_bundle(bundles.path("gru"))
    assert modest(bundle, 3) == Way(3, False)
    assert modest(bundle) == ONE
    monkeypatch.setattr("bundle.threads.LARGEST_MEASURED", 1)
    assert modest(bundle, 3) == Way(3, True)
    assert modest(bundle, 3, spin=False) == Way(3, False)


@pytest.mark.parametrize("label", ["gru", "transformer"])
def test_a_bundle_is_tried_out_with_a_step(bundles, label):
    open_runner(open_bundle(bundles.path(label)), threads=1).try_out()
