"""Tokens as pieces of a text: which characters each of them stands for. Knows nothing about gRPC or models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bundle.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A token, and `text[start:end]` of the joined texts; see Piece in inspection.proto."""

    token_id: int
    symbol: str
    text: str
    start: int
    end: int
    special: bool


def text_pieces(tokenizer: Tokenizer, token_ids: Sequence[int]) -> list[TextPiece]:
    """Return the pieces of a sequence. Their texts join to `tokenizer.decode` of all.

    A token that is part of a character has the whole character's place, and the last of them its text.
    """
    decoder, special = tokenizer.decoder(), tokenizer.special_names
    texts = [decoder.push(token_id) for token_id in token_ids]
    ordinary = [place for place, token_id in enumerate(token_ids) if token_id not in special]
    if ordinary:
        texts[ordinary[-1]] += decoder.flush()
    total, position, pieces = sum(map(len, texts)), 0, []
    for token_id, text in zip(token_ids, texts, strict=True):
        within = token_id not in special and not text
        end = min(position + (1 if within else len(text)), total)
        symbol = special.get(token_id) or tokenizer.symbol(token_id)
        pieces.append(TextPiece(token_id, symbol, text, position, end, token_id in special))
        position += len(text)
    return pieces
