"""Pictures of views: what stands on their axes, and how many fit on a page."""

from pathlib import Path

import numpy as np
import pytest

from service.heat import draw_activations, draw_attention, label
from service.views import Activation, Activations, Attention, AttentionMap, Piece, Sequences

NOTHING = Sequences((), (), ())


def pieces(count: int) -> tuple[Piece, ...]:
    return tuple(Piece(5, "a", "a", place, place + 1, special=False) for place in range(count))


@pytest.mark.parametrize(
    ("text", "shown"), [("a", "a"), (" ", "␣"), ("\n", "⏎"), ("", "·"), ("x\n", "x⏎"), ("$x$", r"\$x\$"), ("東", "東")]
)
def test_what_cannot_be_seen_is_made_visible(text: str, shown: str) -> None:
    assert label(Piece(5, text, "symbol", 0, 1, special=False)) == shown


def test_special_tokens_are_written_by_name() -> None:
    assert label(Piece(1, "", "<bos>", 0, 0, special=True)) == "<bos>"


def test_more_maps_than_fit_on_a_page_are_refused(tmp_path: Path) -> None:
    one = AttentionMap("decoder_self", 0, 0, pieces(2), pieces(2), np.eye(2, dtype=np.float32))
    with pytest.raises(ValueError, match="65 pictures; allowed on one page: 1 to 64: choose fewer layers or heads"):
        draw_attention(Attention("m@1", NOTHING, (one,) * 65), tmp_path / "map.png")
    with pytest.raises(ValueError, match="0 pictures"):
        draw_attention(Attention("m@1", NOTHING, ()), tmp_path / "map.png")
    assert not (tmp_path / "map.png").exists()


def test_a_text_of_many_tokens_and_values_that_are_all_zero_can_be_drawn(tmp_path: Path) -> None:
    values = np.zeros((512, 3), np.float32)
    each = Activation("hidden", "state", "decoder", 0, pieces(512), (0, 5, 9), 10, values)
    draw_activations(Activations("m@1", NOTHING, (each,)), tmp_path / "states.png")
    assert (tmp_path / "states.png").stat().st_size > 1000
