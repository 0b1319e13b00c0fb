"""Text to token ids and back, by the tokenizer file of a bundle; and text from tokens that arrive one by one.

Knows nothing about models, prompts or stop strings: begin- and end-of-sequence tokens are the caller's to add.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import tokenizers
from tokenizers import decoders

from bundle.folder import BundleError

MOST_TOKENS = 1 << 24
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class Piece:
    """A token of a text: `text[start:end]`, in code points, and how the vocabulary writes it."""

    token_id: int
    piece: str
    start: int
    end: int


class Decoder(Protocol):
    """Text of tokens that arrive one by one. The deltas, and the flush after them, join to exactly `decode` of all.

    A delta holds whole characters only, and depends on the tokens pushed so far and on nothing else.
    """

    def push(self, token_id: int) -> str:
        """Return the text that is now certain and was not before: often one token's, sometimes none."""

    def flush(self) -> str:
        """Return what is left: U+FFFD for the bytes of a character that was never completed. Call once, last."""


class Tokenizer:
    """A tokenizer as the `tokenizers` library saves it. Text is text: "<eos>" in it is five characters, not a token."""

    def __init__(self, backend: tokenizers.Tokenizer, *, special: bool = False) -> None:
        """Take over `backend`, whose special tokens are only found in text if `special` says so."""
        backend.encode_special_tokens = not special
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend
        self._token_bytes = _token_bytes(backend)

    @classmethod
    def load(cls, path: Path, most: int = MOST_TOKENS, *, special: bool = False) -> Tokenizer:
        """Read a `tokenizer.json` of at most `most` tokens.

        special: find special tokens in text, as in what a template writes.

        Raises BundleError.
        """
        backend = _called(path, lambda: tokenizers.Tokenizer.from_file(str(path)))
        # Before anything is made that is as large as the largest id.
        found = 1 + max(backend.get_vocab(with_added_tokens=True).values(), default=-1)
        if not 0 < found <= most:
            raise BundleError(f"{path}: has {found} tokens, the model {most}")
        return _called(path, lambda: cls(backend, special=special))

    @property
    def vocabulary_size(self) -> int:
        """The largest token id and one."""
        return 1 + max(self._backend.get_vocab(with_added_tokens=True).values())

    @property
    def special_names(self) -> dict[int, str]:
        """How special tokens are written, by id."""
        added = self._backend.get_added_tokens_decoder()
        return {token_id: token.content for token_id, token in added.items() if token.special}

    def symbol(self, token_id: int) -> str:
        """How the vocabulary writes a token; nothing where no token has this id."""
        return self._backend.id_to_token(token_id) or ""

    def encode(self, text: str) -> list[int]:
        """Return the token ids of `text`, without special tokens. Other threads of Python run meanwhile."""
        # Of the library's calls only the one for batches releases the interpreter's lock.
        return list(self._backend.encode_batch_fast([text], add_special_tokens=False)[0].ids)

    def pieces(self, text: str) -> list[Piece]:
        """Return the tokens of `text` and where each lies; tokens that share a character share its place."""
        encoding = self._backend.encode_batch([text], add_special_tokens=False)[0]
        return [
            Piece(token_id, piece, start, end)
            for token_id, piece, (start, end) in zip(encoding.ids, encoding.tokens, encoding.offsets, strict=True)
        ]

    def decode(self, token_ids: Sequence[int]) -> str:
        """Return the text of tokens: special and unknown ones left out, U+FFFD where bytes are no characters."""
        if self._token_bytes is None:
            return str(self._backend.decode(token_ids, skip_special_tokens=True))
        size = len(self._token_bytes)
        return b"".join([self._token_bytes[i] for i in token_ids if i < size]).decode("utf-8", "replace")

    def decoder(self) -> Decoder:
        """Return a decoder for the tokens of one sequence."""
        if self._token_bytes is None:
            return _WindowDecoder(self._backend)
        return _ByteDecoder(self._token_bytes)


class _ByteDecoder:
    """For vocabularies in which every token stands for the same bytes wherever it appears. Constant time a token."""

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        self._token_bytes = token_bytes
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        if token_id >= len(self._token_bytes):
            return ""
        return self._utf8.decode(self._token_bytes[token_id])

    def flush(self) -> str:
        return self._utf8.decode(b"", True)


class _WindowDecoder:
    """For all others (a token's text depends on its neighbours): the difference between two texts of a short window.

    A decoder that rewrites what was shown before (WordPiece's clean-up of spaces, a run of fallback bytes that turns
    out invalid) makes the joined deltas differ from the text of the whole there. Why not the library's DecodeStream:
    in those places it raises, and its time grows with the square of a run of invalid bytes.
    """

    # A character has at most four bytes: a longer wait is for bytes that are none.
    _longest_wait = 4

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        self._backend = backend
        self._special = _special_tokens(backend)
        self._window: list[int] = []
        self._waiting = 0
        self._shown = ""

    def push(self, token_id: int) -> str:
        if token_id in self._special:
            return ""
        self._window.append(token_id)
        self._waiting += 1
        text = self._text()
        delta = text[len(self._shown) :]
        if not delta or (text.endswith("\ufffd") and self._waiting < self._longest_wait):
            return ""
        self._window = self._window[-self._waiting :]
        self._waiting = 0
        self._shown = self._text()
        return delta

    def flush(self) -> str:
        return self._text()[len(self._shown) :]

    def _text(self) -> str:
        return str(self._backend.decode(self._window, skip_special_tokens=True))


def _called(path: Path, call: Callable[[], _Made]) -> _Made:
    """Return what `call` makes of a file. Raises BundleError, whatever the library raises."""
    try:
        return call()
    except BaseException as error:
        # What Rust panics with is not even an Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise BundleError(f"{path}: is not a tokenizer: {error}") from None


def _token_bytes(backend: tokenizers.Tokenizer) -> list[bytes] | None:
    """Return what every token id stands for, or None where that depends on its neighbours. Special tokens: nothing.

    A byte-level vocabulary is written in 256 characters, one for every byte; one of characters joins its tokens as
    they are.
    """
    decoder = backend.decoder
    if isinstance(decoder, decoders.ByteLevel):
        alphabet = _byte_alphabet()
    elif isinstance(decoder, decoders.Fuse):
        alphabet = {}
    else:
        return None
    table: list[bytes] = [b""] * (1 + max(backend.get_vocab(with_added_tokens=True).values()))
    special = _special_tokens(backend)
    for piece, token_id in backend.get_vocab(with_added_tokens=True).items():
        if token_id not in special:
            table[token_id] = _piece_bytes(piece, alphabet)
    return table


def _special_tokens(backend: tokenizers.Tokenizer) -> set[int]:
    return {token_id for token_id, token in backend.get_added_tokens_decoder().items() if token.special}


def _piece_bytes(piece: str, alphabet: dict[str, int]) -> bytes:
    if all(character in alphabet for character in piece):
        return bytes([alphabet[character] for character in piece])
    return piece.encode("utf-8")


def _byte_alphabet() -> dict[str, int]:
    """Return the byte that each character of a byte-level vocabulary stands for.

    The printable Latin-1 bytes stand for themselves, the others for U+0100 onwards in order (GPT-2's table:
    Radford et al. 2019).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}
