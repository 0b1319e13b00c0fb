from __future__ import annotations

import re
from pathlib import Path

import pytest

from training.dates import date_pairs
from training.pairs import read_pairs, split_pairs


def test_dates_are_written_once_and_mean_what_they_say():
    pairs = date_pairs(3000, seed=5)
    assert len({source for source, _ in pairs}) == 3000
    assert all(re.fullmatch(r"(19[5-9]\d|20[0-4]\d)-\d\d-\d\d", target) for _, target in pairs)
    korean = [(source, target) for source, target in pairs if "년" in source]
    assert korean
    for source, target in korean:
        year, month, day = map(int, re.findall(r"\d+", source)[:3])
        assert target == f"{year:04}-{month:02}-{day:02}"


def test_dates_are_decided_by_their_seed():
    assert date_pairs(50, seed=1) == date_pairs(50, seed=1)
    assert date_pairs(50, seed=1) != date_pairs(50, seed=2)


def test_no_source_is_on_both_sides_even_if_it_has_several_targets():
    pairs = [(f"source {number % 50}", f"target {number}") for number in range(100)]
    training, held_out = split_pairs(pairs, 0.1, seed=0)
    assert len(training) + len(held_out) == 100
    assert len(held_out) == 10
    assert not {source for source, _ in training} & {source for source, _ in held_out}
    assert split_pairs(pairs, 0.1, seed=0) == (training, held_out)


def test_held_out_dates_are_not_trained_on():
    training, held_out = split_pairs(read_pairs("dates", seed=0).pairs, 0.03, seed=0)
    assert len(held_out) == 1200
    assert not {source for source, _ in training} & {source for source, _ in held_out}


@pytest.mark.parametrize("line", ["no tab", "two\ttabs\there", "\tno source", "no target\t"])
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, line: str):
    path = tmp_path / "pairs.tsv"
    path.write_text(f"good\tpair\n\n{line}\n")
    with pytest.raises(ValueError, match=r"pairs\.tsv line 3: needs a source"):
        read_pairs(str(path), seed=0)


def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_a_pair(tmp_path: Path):
    path = tmp_path / "pairs.tsv"
    path.write_bytes(b"\xef\xbb\xbfa\tb\r\nc\td\r\n")
    assert read_pairs(str(path), seed=0).pairs == (("a", "b"), ("c", "d"))


def test_one_source_cannot_be_split():
    with pytest.raises(ValueError, match="at least 2 different sources"):
        split_pairs([("a", "b"), ("a", "c")], 0.5, seed=0)
