from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from training.tokenization import TokenizerKind, encode, load_tokenizer, train_tokenizer

TEXT = "def f(x):\n\treturn '한국어 텍스트 🎉👩‍💻'  # <eos> e\u0301\r\n"


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return saved("bpe", tmp_path_factory.mktemp("bpe"))


def saved(kind: TokenizerKind, folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    train_tokenizer(kind, [TEXT] * 3, 300).save(str(path))
    return load_tokenizer(path)


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_special_tokens_have_the_first_ids(kind: TokenizerKind, tmp_path: Path):
    tokenizer = saved(kind, tmp_path)
    assert [tokenizer.id_to_token(token) for token in range(3)] == ["<pad>", "<bos>", "<eos>"]
    assert tokenizer.token_to_id("<unk>") == (3 if kind == "characters" else None)


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_decoding_gives_the_exact_text_and_skips_special_tokens(kind: TokenizerKind, tmp_path: Path):
    tokenizer = saved(kind, tmp_path)
    (ids,) = encode(tokenizer, [TEXT])
    assert ids.dtype == np.uint16
    assert tokenizer.decode([1, *ids.tolist(), 2, 0, 0], skip_special_tokens=True) == TEXT


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_a_special_token_spelt_out_in_a_text_is_plain_text(kind: TokenizerKind, tmp_path: Path):
    (ids,) = encode(saved(kind, tmp_path), ["<eos>"])
    assert 2 not in ids


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_decoding_token_by_token_gives_the_same_text(kind: TokenizerKind, tmp_path: Path):
    tokenizer = saved(kind, tmp_path)
    (ids,) = encode(tokenizer, [TEXT])
    stream = DecodeStream(skip_special_tokens=True)
    pieces = [stream.step(tokenizer, token) for token in [1, *ids.tolist(), 2]]
    assert "".join(piece for piece in pieces if piece) == TEXT


@settings(deadline=None, max_examples=50)
@given(text=st.text())
def test_bpe_writes_any_text(bpe: Tokenizer, text: str):
    (ids,) = encode(bpe, [text])
    assert bpe.decode(ids.tolist()) == text


def test_characters_never_seen_become_unknown(tmp_path: Path):
    tokenizer = saved("characters", tmp_path)
    (ids,) = encode(tokenizer, ["fΩf"])
    assert ids[1] == 3 and ids[0] == ids[2] != 3


def test_a_small_vocabulary_keeps_the_frequent_characters():
    tokenizer = train_tokenizer("characters", ["aaabbc"], 6)
    assert tokenizer.get_vocab_size() == 6
    assert tokenizer.token_to_id("b") == 5
    assert tokenizer.token_to_id("c") is None


@pytest.mark.parametrize(("kind", "size"), [("bpe", 259), ("characters", 4)])
def test_a_vocabulary_without_room_is_refused(kind: TokenizerKind, size: int):
    with pytest.raises(ValueError, match=f"--vocabulary-size: {kind} needs more than {size}, {size} given"):
        train_tokenizer(kind, ["text"], size)


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer\.json: not a tokenizer"):
        load_tokenizer(tmp_path / "tokenizer.json")
