"""Stop strings in text that comes in pieces: found wherever the pieces are cut, and never half shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.text import SampleText


class Pieces:
    """A decoder whose token n is the nth piece."""

    def __init__(self, pieces: list[str], left: str = "") -> None:
        self.pieces = pieces
        self.left = left

    def push(self, token_id: int) -> str:
        return self.pieces[token_id]

    def flush(self) -> str:
        return self.left


def run(
    pieces: list[str], stops: tuple[str, ...] = (), include: bool = False, left: str = ""
) -> tuple[list[str], str | None]:
    text = SampleText(Pieces(pieces, left), stops, include)
    shown = []
    for token_id in range(len(pieces)):
        shown.append(text.push(token_id))
        if text.matched is not None:
            break
    shown.append(text.finish())
    return shown, text.matched


@pytest.mark.parametrize(
    ("pieces", "stops", "shown", "matched"),
    [
        pytest.param(["ab", "c"], (), ["ab", "c", ""], None, id="no stop strings"),
        pytest.param(["aX", "YZb"], ("XYZ",), ["a", "", ""], "XYZ", id="split over two tokens"),
        pytest.param(["aX", "Y", "b"], ("XYZ",), ["a", "", "XYb", ""], None, id="a beginning that came to nothing"),
        pytest.param(["aX", "Y"], ("XYZ",), ["a", "", "XY"], None, id="a beginning left at the end"),
        pytest.param(["XX", "XY"], ("XXY",), ["", "X", ""], "XXY", id="a beginning inside a beginning"),
        pytest.param(["abc"], ("c", "bc", "b"), ["a", ""], "bc", id="the earliest, then the longest"),
        pytest.param(["ab", "c"], ("abc", "b"), ["a", ""], "b", id="what is complete first ends it"),
    ],
)
def test_text_is_shown_as_soon_as_it_is_certain(pieces, stops, shown, matched):
    assert run(pieces, stops) == (shown, matched)


def test_the_stop_string_is_shown_when_asked_for_and_nothing_behind_it():
    assert run(["aX", "YZb"], ("XYZ",), include=True) == (["a", "XYZ", ""], "XYZ")


def test_a_stop_string_completed_by_the_flush_still_counts():
    assert run(["a"], ("\ufffd",), left="\ufffd") == (["a", ""], "\ufffd")


PIECES = st.lists(st.text(alphabet="ab", max_size=3), max_size=12)
STOPS = st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=4).map(tuple)


@given(pieces=PIECES, stops=STOPS, include=st.booleans())
def test_any_cut_shows_the_text_up_to_the_first_complete_stop_string(pieces, stops, include):
    deltas, matched = run(pieces, stops, include)
    whole = ""
    for piece in pieces:
        whole += piece
        found = sorted((whole.find(stop), -len(stop), stop) for stop in stops if stop in whole)
        if found:
            position, _, stop = found[0]
            assert matched == stop
            assert "".join(deltas) == whole[: position + len(stop) * include]
            return
    assert (matched, "".join(deltas)) == (None, whole)


@given(pieces=PIECES, stops=STOPS)
def test_all_is_shown_but_the_longest_end_that_could_become_a_stop_string(pieces, stops):
    deltas, matched = run(pieces, stops)
    seen = shown = ""
    for piece, delta in zip(pieces, deltas if matched is None else deltas[:-2], strict=False):
        seen, shown = seen + piece, shown + delta
        held = seen[len(shown) :]
        beginnings = {stop[:n] for stop in stops for n in range(1, len(stop))}
        assert held == max((end for end in beginnings if seen.endswith(end)), key=len, default="")
