"""The run that measures promises: what it found gets into the page, and a promise that does not hold is told."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.reliability import __main__ as command
from benchmarks.reliability.claim import Claim
from benchmarks.reliability.compared import Compared

DOCS = Path(__file__).parents[2] / "docs"
HELD, BROKEN = Claim("It stays up.", "3 of 3 | all", True), Claim("It is fast.", "9 s", False)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the command with parts that find what they are told to; returns the page."""
    page = tmp_path / "docs" / "reliability.md"
    page.parent.mkdir()
    page.write_text("<!-- up -->\n<!-- /up -->\n<!-- fast -->\nas before\n<!-- /fast -->\n")

    def start(*arguments, **found):
        parts = {name: SimpleNamespace(TITLE=name, measure=one) for name, one in found.items()}
        monkeypatch.setattr(command, "PARTS", parts)
        folders = ["--folder", str(tmp_path / "runs"), "--docs", str(page.parent)]
        monkeypatch.setattr(sys, "argv", ["reliability", *folders, *arguments])
        command.main()
        return page.read_text()

    start.page = page
    return start


def test_every_part_has_its_heading_and_its_place_on_the_page():
    page = (DOCS / "reliability.md").read_text()
    for name, part in command.PARTS.items():
        assert f"## {part.TITLE}\n" in page
        assert f"<!-- {name} -->\n" in page
        assert f"<!-- /{name} -->\n" in page


def test_what_was_found_gets_into_the_page_and_the_rest_stays(run):
    page = run("up", up=lambda folder, quick: [HELD], fast=lambda folder, quick: [BROKEN])
    assert "| It stays up. | 3 of 3 \\| all | yes |" in page
    assert "as before" in page


def test_a_promise_that_does_not_hold_is_reported_and_ends_with_an_error(run):
    with pytest.raises(SystemExit) as ended:
        run(up=lambda folder, quick: [HELD], fast=lambda folder, quick: [BROKEN])
    assert ended.value.code == "does not hold: fast"
    assert "| It is fast. | 9 s | **no** |" in run.page.read_text()


def test_a_part_that_raises_keeps_the_others_from_nothing(run, capsys):
    def broken(folder, quick):
        raise RuntimeError("boom")

    with pytest.raises(SystemExit) as ended:
        run(fast=broken, up=lambda folder, quick: [HELD])
    assert ended.value.code == "does not hold: fast"
    assert "boom" in capsys.readouterr().err
    assert "3 of 3" in run.page.read_text()


def test_a_quick_run_writes_in_its_folder_and_leaves_the_page(run):
    def measure(folder, quick):
        assert folder.is_dir()
        return [Claim("It was quick.", str(quick), quick)]

    assert "quick" not in run("--quick", up=measure)


# What counts tokens and bits; what measures times, or waits for a balancer, does not hold on a busy machine.
@pytest.mark.parametrize("name", ["seeds", "state"])
def test_the_promises_of_a_part_hold_in_a_quick_run(tmp_path, name):
    claims = command.PARTS[name].measure(tmp_path, True)
    assert claims
    if missing := [claim.figure for claim in claims if "is not installed" in claim.figure]:
        pytest.skip(missing[0])
    assert [claim for claim in claims if not claim.holds] == []


def test_streams_that_differ_are_counted_by_how_they_ran_and_by_how_much():
    alone = [(3, (-1.0, -2.0)), (4, (-0.5, -1.5))]
    rounded, other = [alone[0], (4, (-0.25, -1.5))], [alone[0], (5, (-0.5, -1.5))]
    compared = Compared()
    compared.add("in a crowd", [alone, alone], [alone, alone])
    assert compared.same_bits
    compared.add("resumed", [rounded], [alone])
    assert (compared.same_tokens, compared.same_bits) == (True, False)
    assert compared.with_other_bits == "1 resumed, at most 2.5e-01 apart"
    compared.add("elsewhere", [other, other], [alone, alone])
    assert (compared.same_tokens, compared.with_other_tokens) == (False, "2 elsewhere")


def test_nothing_compared_is_no_promise_kept():
    assert not Compared().same_tokens


def test_what_is_not_a_number_is_infinitely_far_away():
    compared = Compared()
    compared.add("poisoned", [[(3, (float("nan"),))]], [[(3, (-1.0,))]])
    assert compared.with_other_bits == "1 poisoned, at most inf apart"
