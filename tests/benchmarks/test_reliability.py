"""The run that measures promises: what it found gets into the page, and a promise that does not hold is told."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.reliability import __main__ as command
from benchmarks.reliability.claim import Claim

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
