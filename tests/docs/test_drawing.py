"""The pictures of docs/: all can be drawn, and are those that the pages show."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs.drawing.__main__ import PICTURES
from docs.drawing.recording import Piece, Stream
from docs.drawing.stream import draw, wrapped

FAMILIES = Path(__file__).parents[2] / "docs" / "families"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_drawn_and_lies_where_the_page_shows_it(name, tmp_path):
    PICTURES[name]().save(tmp_path / "drawn.svg")
    assert ElementTree.parse(tmp_path / "drawn.svg").getroot().tag.endswith("svg")
    assert f"](families/{name}.svg)" in (FAMILIES.parent / "families.md").read_text(encoding="utf-8")
    assert (FAMILIES / f"{name}.svg").exists()


def test_the_same_picture_has_the_same_bytes(tmp_path):
    for file in ("a.svg", "b.svg"):
        PICTURES["lstm"]().save(tmp_path / file)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def lines(text: str, columns: int) -> list[str]:
    placed: dict[int, str] = {}
    for letter, (row, column) in zip(text, wrapped(text, columns), strict=True):
        if column >= 0 and letter != "\n":
            assert column < columns
            placed[row] = placed.get(row, "").ljust(column) + letter
    return [placed.get(row, "").rstrip() for row in range(max(placed) + 1)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two", ["one two"]),
        ("one two three", ["one two", "three"]),
        ("a\n\n  b", ["a", "", "  b"]),
        ("abcdefghijk", ["abcdefgh", "ijk"]),
    ],
)
def test_text_is_broken_between_words(text, expected):
    assert lines(text, 8) == expected


def test_letters_of_a_stream_appear_when_they_came():
    pieces = (Piece(0.5, "Hello"), Piece(1.0, " wor"), Piece(2.0, "ld"))
    picture = draw([Stream(0.25, "Say it", 3, pieces)], "a model")
    texts = [element for element in ElementTree.fromstring(picture).iter() if element.tag.endswith("text")]
    shown = [(element.text, element.get("style")) for element in texts[:-1]]
    names = [style.removeprefix("animation-name:") for _, style in shown]
    assert [text for text, _ in shown] == ["Say it", "Hello", " wor", "ld"]
    for name, seconds in zip(names, (0.25, 0.5, 1.0, 2.0), strict=True):
        assert (
            f"@keyframes {name} {{ 0% {{ opacity: 0; }} {100 * seconds / 5:.2f}%, 100% {{ opacity: 1; }} }}" in picture
        )
    assert "a model: 1 streams, 2 tokens/s together" in texts[-1].text
