from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bundle.folder import open_bundle
from export import compare
from export.contract import GREEDY_TOKENS, contract, greedy_cases, rows_needed
from export.extent import Extent, filled
from export.sequences import Maker, cut
from tests.exported import Bundles
from tests.tiny import TINY


@pytest.mark.parametrize("label", TINY)
def test_every_model_passes_the_whole_contract(bundles: Bundles, label: str) -> None:
    manifest = open_bundle(bundles.path(label)).manifest
    report, names = manifest.parity, [check.name for check in contract()]
    if not manifest.rewinds:
        names.remove("rewound rows")
    assert [check.name for check in report.checks] == names
    assert all(check.largest_error <= check.tolerance and check.shapes for check in report.checks)
    assert report.greedy_tokens_compared >= GREEDY_TOKENS


def test_the_contract_is_about_bits_wherever_one_runtime_is_compared_with_itself() -> None:
    assert {check.name for check in contract() if check.tolerance} == {"torch", "token by token", "greedy"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ForgetsLengths", "check 'torch' failed at 2x2: error "),
        ("SwapsGates", "check 'torch' failed at 1x2: error "),
        ("FreezesTime", "check 'traces' failed: UserError: Constraints violated (time): "),
        ("SeesPadding", "check 'padding' failed at 1x1 padded by 1: error "),
        ("CountsCalls", "check 'pieces' failed at 3x2 in 1+7+32+16+40: error "),
        ("MixesRows", "check 'pieces' failed at 3x2 in 1+7+32+16+40: error "),
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
    assert Maker(free, trained_length=100).lengths[-1] == 200
    assert {1, 2} <= set(Maker(free, trained_length=16).lengths)


def test_sequences_are_the_same_every_time_and_cover_the_extremes_of_the_source(bundles: Bundles) -> None:
    manifest = open_bundle(bundles.path("gru-seq2seq")).manifest
    first, again = (Maker(manifest, 16).ragged(5, 7) for _ in range(2))
    assert first.sources is not None and again.sources is not None
    assert all((left == right).all() for left, right in zip(first.tokens, again.tokens, strict=True))
    assert [len(source) for source in first.sources][:3] == [manifest.source_limit, 1, 2]


def test_pieces_behind_a_past_are_no_single_tokens_where_they_go_alone() -> None:
    assert [piece.stop - piece.start for piece in cut(10, (1, 4), single=True)] == [1, 4, 5]
    assert [piece.stop - piece.start for piece in cut(7, (1,), single=True)] == [1, 2, 2, 2]
    assert [piece.stop - piece.start for piece in cut(3, (1,), single=False)] == [1, 1, 1]


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


@pytest.mark.parametrize("limit", [2, 3, 4, 5, 9, 40])
def test_no_case_goes_beyond_the_context_however_small(bundles: Bundles, limit: int) -> None:
    manifest = open_bundle(bundles.path("transformer-lm")).manifest.model_copy(update={"context_limit": limit})
    maker = Maker(manifest, trained_length=16)
    cases = [case for check in contract() for case in check.cases(maker)]
    assert max(case.sequences.longest for case in cases) == limit
    assert max(len(case.sequences) for case in cases) + 2 <= rows_needed(maker)
    (greedy,) = greedy_cases(maker)
    assert greedy.sequences.longest + greedy.numbers[0] <= limit
    assert len(greedy.sequences) * greedy.numbers[0] >= GREEDY_TOKENS
