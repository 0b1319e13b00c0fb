from pathlib import Path

import numpy as np
import pytest

from bundle.folder import open_bundle
from export.quantize.text import (
    CALIBRATION_TOKENS,
    HELD_OUT_TOKENS,
    WINDOW,
    Row,
    apart,
    first_rows,
    read_texts,
)
from tests.exported import Bundles


def test_both_sides_are_bounded_and_share_no_line(bundles: Bundles, tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("".join(f"{line:08d}\n" for line in range(4000)))
    bundle = open_bundle(bundles.path("naive"))
    texts = read_texts(path, bundle)
    assert sum(len(row.predicted) for row in texts.calibration) == CALIBRATION_TOKENS
    assert sum(len(row.predicted) for row in texts.held_out) == HELD_OUT_TOKENS
    from bundle.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(bundle.path / "tokenizer.json")
    sides = [set("".join(tokenizer.decode(row.tokens.tolist()) for row in side).split())
             for side in (texts.calibration, texts.held_out)]  # fmt: skip
    whole = [{number for number in side if len(number) == 8} for side in sides]
    assert all(whole) and whole[0].isdisjoint(whole[1])


def test_windows_fit_the_context_and_open_with_bos(bundles: Bundles) -> None:
    bundle = open_bundle(bundles.path("transformer-lm"))
    texts = read_texts(bundles.text("transformer-lm"), bundle)
    limit = bundle.manifest.context_limit
    assert limit is not None and limit < WINDOW
    assert max(row.fed.longest for row in texts.calibration) == limit
    assert {int(row.tokens[0]) for row in texts.held_out} == {bundle.manifest.special_tokens.bos}


def test_pairs_have_a_source_that_ends_and_a_target_that_ends(bundles: Bundles) -> None:
    bundle = open_bundle(bundles.path("transformer"))
    special = bundle.manifest.special_tokens
    for row in read_texts(bundles.text("transformer"), bundle).held_out:
        assert row.source is not None and row.source[-1] == special.eos
        assert row.tokens[0] == special.bos and row.tokens[-1] == special.eos


def test_first_rows_take_what_is_asked_for(bundles: Bundles) -> None:
    rows = read_texts(bundles.text("naive"), open_bundle(bundles.path("naive"))).held_out
    assert sum(len(row.predicted) for row in first_rows(rows, 100)) == 100
    assert [len(row.predicted) for row in first_rows(rows, 90, spread=True)] == [30, 30, 30]


@pytest.mark.parametrize(("count", "judging"), [(12, [4, 9]), (3, [2]), (2, [1])])
def test_what_is_fitted_is_judged_by_other_rows(count: int, judging: list[int]) -> None:
    rows = [Row(np.arange(3) + number) for number in range(count)]
    fitted, judged = apart(rows)
    assert judged == [rows[number] for number in judging]
    assert fitted == [row for number, row in enumerate(rows) if number not in judging]


def test_a_single_row_fits_and_judges() -> None:
    row = Row(np.arange(3))
    assert apart([row]) == ([row], [row])


@pytest.mark.parametrize(
    ("label", "content", "message"),
    [
        ("naive", b"\xff\xfe\xff", "is not UTF-8 text"),
        ("naive", b"short", "tokens a side, needed are 16"),
        ("transformer", b"no tab\n" * 20, "'no tab' is no source, a tab and a target"),
    ],
)
def test_text_that_cannot_be_used_is_named(
    bundles: Bundles, tmp_path: Path, label: str, content: bytes, message: str
) -> None:
    path = tmp_path / "text"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_texts(path, open_bundle(bundles.path(label)))
    assert str(error.value).startswith("--calibration: ")


def test_a_text_that_is_not_there_is_named(bundles: Bundles, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        read_texts(tmp_path / "none", open_bundle(bundles.path("naive")))
