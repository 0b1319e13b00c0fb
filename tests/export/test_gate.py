from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle.folder import open_bundle
from bundle.manifest import Calls
from bundle.runner import Runner
from export import compare
from export.check import Case, Trial
from export.checks import same_as_torch
from export.contract import GREEDY_TOKENS, contract, greedy_cases, rows_needed
from export.extent import Extent, filled
from export.play import Player
from export.reference import Reference
from export.sequences import Maker, cut
from export.view_checks import VIEW_CHECKS
from tests.exported import Bundles
from tests.tiny import TINY


@pytest.mark.parametrize("label", TINY)
def test_every_model_passes_the_whole_contract(bundles: Bundles, label: str) -> None:
    manifest = open_bundle(bundles.path(label)).manifest
    report, names = manifest.parity, [check.name for check in contract()]
    if not manifest.rewinds:
        names.remove("rewound rows")
    names += [check.name for check in VIEW_CHECKS] if manifest.views else []
    assert [check.name for check in report.checks] == names
    assert all(check.largest_error <= check.tolerance and check.shapes for check in report.checks)
    assert report.greedy_tokens_compared >= GREEDY_TOKENS


def test_the_contract_is_about_bits_wherever_one_runtime_is_compared_with_itself() -> None:
    assert {check.name for check in contract() if check.tolerance} == {"torch", "token by token", "greedy"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ForgetsLengths", "check 'padding' failed at 5x1 padded by 1: error "),
        ("SwapsGates", "check 'torch' failed at 5x2: error "),
        ("FreezesTime", "check 'traces' failed: UserError: Constraints violated (time): "),
        ("AveragesRows", "check 'converts' failed: "),
        ("SeesPadding", "check 'padding' failed at 5x1 padded by 1: error "),
        ("CountsCalls", "check 'pieces' failed at 3x2 in 1+7+32+16+40: error "),
        ("MixesRows", "check 'prompt in a crowd' failed at 5x1 from row 2: error "),
        ("Remembers", "check 'rewound rows' failed at 2x4 0 kept, 1 forgotten: error "),
        ("Scribbles", "check 'own state only' failed at 5x10 steps of 2 and 1: error "),
    ],
)
def test_a_wrong_export_is_refused_in_one_line_and_leaves_nothing(
    export_own: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, message: str
) -> None:
    assert export_own(name) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"export: refused, nothing written: {message}")
    assert not (tmp_path / "models").exists()


def test_lengths_reach_the_context_limit_and_beyond_the_training_length(bundles: Bundles) -> None:
    limited = open_bundle(bundles.path("transformer-lm")).manifest
    free = open_bundle(bundles.path("markov")).manifest
    assert Maker(limited, trained_length=16).lengths[-1] == limited.context_limit
    assert Maker(free, trained_length=16).lengths[-1] == 257
    assert Maker(free, trained_length=200).lengths[-1] == 400
    assert {1, 2} <= set(Maker(free, trained_length=16).lengths)


def test_sequences_are_the_same_every_time_and_cover_the_extremes_of_the_source(bundles: Bundles) -> None:
    manifest = open_bundle(bundles.path("gru-seq2seq")).manifest
    first, again = (Maker(manifest, 16).ragged(5, 7) for _ in range(2))
    assert first.sources is not None and again.sources is not None
    assert all((left == right).all() for left, right in zip(first.tokens, again.tokens, strict=True))
    assert [len(source) for source in first.sources][:3] == [manifest.source_limit, 1, 2]


def test_pieces_behind_a_past_are_no_single_tokens_where_they_go_alone() -> None:
    assert [piece.stop - piece.start for piece in cut(10, (1, 4), Calls(chunk="single"))] == [1, 4, 5]
    assert [piece.stop - piece.start for piece in cut(7, (1,), Calls(chunk="single"))] == [1, 2, 2, 2]
    assert [piece.stop - piece.start for piece in cut(3, (1,), None)] == [1, 1, 1]


@pytest.mark.parametrize("length", range(1, 60))
def test_no_piece_is_one_more_than_a_multiple_of_the_block(length: int) -> None:
    calls = Calls(chunk="single", block=8)
    for sizes in ((16,), (2, 3), (1, 7, 32, 16, 40), (1,), (9, 17)):
        for most in (None, 3):
            pieces = cut(length, sizes, calls, most)
            assert [piece.start for piece in pieces] == [0, *[piece.stop for piece in pieces[:-1]]]
            widths = [piece.stop - piece.start for piece in pieces]
            assert sum(widths) == length and all(calls.allow(width) for width in widths) and 1 not in widths[1:]


def test_distance_is_zero_only_for_equal_values_and_never_hides_a_nan() -> None:
    ones = np.ones(3, np.float32)
    assert compare.distance(ones, ones) == 0
    assert compare.distance(ones, np.nextafter(ones, np.float32(2))) > 0
    assert compare.distance(np.array([np.inf, 1.0]), np.array([np.inf, 1.0])) == 0
    for other in (ones[:2], ones.astype(np.float64), np.full(3, np.nan, np.float32)):
        assert compare.distance(ones, other) == np.inf


def test_relative_distance_is_a_share_of_large_values_but_integers_must_be_equal() -> None:
    assert compare.relative(np.array([99.0]), np.array([100.0])) == pytest.approx(0.01)
    assert compare.relative(np.array([0.2]), np.array([0.1])) == pytest.approx(0.1)
    assert compare.relative(np.array([99]), np.array([100])) == 1


def test_only_what_is_filled_of_a_state_counts(bundles: Bundles) -> None:
    states = {spec.name: spec for spec in open_bundle(bundles.path("transformer")).manifest.states}
    key, memory = states["key_0"], states["memory_key_0"]
    extent = Extent(tokens=5, source=3)
    assert filled(key, np.zeros(key.shape), extent).shape[key.axis or 0] == 5
    assert filled(memory, np.zeros(memory.shape), extent).shape[memory.axis or 0] == 3


def test_a_large_model_is_tried_at_every_length_in_fewer_batch_sizes_and_pieces(bundles: Bundles) -> None:
    small = open_bundle(bundles.path("markov")).manifest
    large = small.model_copy(update={"training": small.training.model_copy(update={"parameters": 134_515_008})})
    few, many = Maker(large, 64), Maker(small, 64)
    assert few.lengths == many.lengths
    tried, every = ([(len(batch), batch.longest) for batch in maker.grid()] for maker in (few, many))
    assert set(tried) < set(every)
    for length in few.lengths:
        assert {rows for rows, longest in tried if longest == length} >= ({1, 2} if length > 65 else {1, 2, 3, 5})
    assert len(cut(257, (2, 3), Calls(chunk="single"), most=8)) == 1 + 6
    assert [piece.stop - piece.start for piece in cut(257, (1,), None, most=3)] == [254, 1, 1, 1]
    assert [piece.stop - piece.start for piece in cut(3, (1,), None, most=8)] == [1, 1, 1]


def test_smaller_batches_are_the_first_rows_of_larger_ones_and_stay_the_same(bundles: Bundles) -> None:
    maker = Maker(open_bundle(bundles.path("gru-seq2seq")).manifest, 16)
    large, small = maker.batch(5, 7), maker.batch(2, 7)
    assert small.tokens[1] is large.tokens[1] and maker.batch(2, 7) is small
    assert small.sources is not None and large.sources is not None and small.sources[1] is large.sources[1]


def test_the_model_is_asked_once_for_rows_that_several_checks_need(bundles: Bundles) -> None:
    bundle = open_bundle(bundles.path("transformer-lm"))
    maker = Maker(bundle.manifest, 16)
    model = bundles.subject("transformer-lm").model
    trial = Trial(Player(Runner(bundle, threads=1, spin=False), rows_needed(maker)), Reference(model))
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    for rows in (5, 3, 1):
        sequences = maker.batch(rows, 7)
        wholes = trial.expected(sequences)
        assert [len(whole.logits) for whole in wholes] == [len(tokens) for tokens in sequences.tokens]
        assert trial.whole(sequences) is trial.whole(sequences)
        assert same_as_torch(trial, Case(sequences)).error < 1e-4
    assert calls == [1]
    trial.expected(maker.batch(1, 9))
    assert calls == [1, 1]


@pytest.mark.parametrize("limit", [2, 3, 4, 5, 9, 40])
def test_no_case_goes_beyond_the_context_however_small(bundles: Bundles, limit: int) -> None:
    manifest = open_bundle(bundles.path("transformer-lm")).manifest.model_copy(update={"context_limit": limit})
    maker = Maker(manifest, trained_length=16)
    cases = [case for check in contract() for case in check.cases(maker)]
    assert max(case.sequences.longest for case in cases) == limit - (not manifest.calls.allow(limit))
    assert max(len(case.sequences) for case in cases) + 2 <= rows_needed(maker)
    (greedy,) = greedy_cases(maker)
    assert greedy.sequences.longest + greedy.numbers[0] <= limit
    assert len(greedy.sequences) * greedy.numbers[0] >= GREEDY_TOKENS
