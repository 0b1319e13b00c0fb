"""Tokens as pieces of a text: their texts join, and each knows its characters."""

import pytest

from bundle.tokenizer import Tokenizer
from service.pieces import text_pieces
from tests.exported import TEXTS, Bundles


@pytest.fixture
def tokenizer(bundles: Bundles) -> Tokenizer:
    return Tokenizer.load(bundles.tokenizer("text"))


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_join_to_the_text_and_know_their_places(tokenizer: Tokenizer, text: str) -> None:
    pieces = text_pieces(tokenizer, tokenizer.encode(text))
    assert "".join(piece.text for piece in pieces) == text
    for piece in pieces:
        assert piece.text in ("", text[piece.start : piece.end])
        assert piece.start < piece.end
    assert {place for piece in pieces for place in range(piece.start, piece.end)} == set(range(len(text)))


def test_tokens_within_a_character_have_its_place_and_the_last_of_them_its_text(tokenizer: Tokenizer) -> None:
    pieces = text_pieces(tokenizer, tokenizer.encode("a東b"))
    assert [piece.text for piece in pieces] == ["a", "", "", "東", "b"]
    assert [(piece.start, piece.end) for piece in pieces] == [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)]


def test_special_tokens_have_a_name_and_no_characters(tokenizer: Tokenizer) -> None:
    bos, letter = text_pieces(tokenizer, [1, *tokenizer.encode("a")])
    assert (bos.symbol, bos.text, bos.special, bos.start, bos.end) == ("<bos>", "", True, 0, 0)
    assert not letter.special


def test_a_character_that_is_never_completed_is_shown_as_such(tokenizer: Tokenizer) -> None:
    pieces = text_pieces(tokenizer, tokenizer.encode("東")[:2])
    assert "".join(piece.text for piece in pieces) == "\ufffd"


def test_no_tokens_are_no_pieces(tokenizer: Tokenizer) -> None:
    assert text_pieces(tokenizer, []) == []
