"""The tokenizer: text survives the round trip, and text of single tokens joins to the text of all."""

import functools

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from bundle.folder import BundleError
from bundle.tokenizer import Tokenizer

TEXT = "안녕하세요, 세계! 👩‍👩‍👧‍👦 🇰🇷 naïve café\nclass Queue:\n    def put(self, item): return <eos>\n"
SPECIAL = ["<pad>", "<bos>", "<eos>"]


def byte_level(vocabulary_size: int = 330) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([TEXT] * 20, trainer)
    backend.add_tokens(["§한"])
    return backend


def characters() -> tokenizers.Tokenizer:
    words = [*SPECIAL, "<unk>", *sorted(set(TEXT))]
    backend = tokenizers.Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens([*SPECIAL, "<unk>"])
    return backend


def byte_fallback() -> tokenizers.Tokenizer:
    words = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdefgh한"]
    backend = tokenizers.Tokenizer(models.BPE({word: n for n, word in enumerate(words)}, [], byte_fallback=True))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.add_special_tokens(SPECIAL)
    return backend


@functools.cache
def tokenizer(kind: str) -> tuple[Tokenizer, tokenizers.Tokenizer]:
    make = {"byte-level": byte_level, "characters": characters, "byte-fallback": byte_fallback}[kind]
    return Tokenizer(make()), make()


KINDS = pytest.mark.parametrize("kind", ["byte-level", "characters", "byte-fallback"])


@pytest.mark.parametrize("kind", ["byte-level", "characters"])
@given(data=st.data())
def test_deltas_and_flush_join_to_the_text_of_all_tokens(kind: str, data: st.DataObject):
    ours, backend = tokenizer(kind)
    token_ids = data.draw(st.lists(st.integers(0, backend.get_vocab_size() - 1), max_size=40))
    decoder = ours.decoder()
    text = "".join(decoder.push(token_id) for token_id in token_ids) + decoder.flush()
    assert text == backend.decode(token_ids, skip_special_tokens=True) == ours.decode(token_ids)


@given(text=st.text() | st.text(alphabet=TEXT))
def test_byte_level_text_survives_the_round_trip_token_by_token(text: str):
    ours, _ = tokenizer("byte-level")
    token_ids = ours.encode(text)
    decoder = ours.decoder()
    deltas = [decoder.push(token_id) for token_id in token_ids]
    assert "".join(deltas) == text == ours.decode(token_ids)
    assert decoder.flush() == ""


@given(text=st.text(min_size=1))
def test_fallback_bytes_join_to_the_text_of_all_tokens(text: str):
    ours, _ = tokenizer("byte-fallback")
    token_ids = ours.encode(text)
    decoder = ours.decoder()
    assert "".join(decoder.push(token_id) for token_id in token_ids) + decoder.flush() == ours.decode(token_ids)


def test_invalid_fallback_bytes_neither_raise_nor_wait_for_ever():
    ours, backend = tokenizer("byte-fallback")
    decoder = ours.decoder()
    invalid = backend.token_to_id("<0xFF>")
    assert [decoder.push(invalid) for _ in range(9)] == ["", "", "", "\ufffd" * 4] * 2 + [""]
    assert decoder.flush() == "\ufffd"


@KINDS
def test_no_delta_ends_inside_a_character(kind: str):
    ours, _ = tokenizer(kind)
    decoder = ours.decoder()
    shown = ""
    for token_id in ours.encode(TEXT.replace("<", "")):
        shown += decoder.push(token_id)
        assert "\ufffd" not in shown
    assert shown.startswith("안녕하세요") or kind == "byte-fallback"


def test_a_replacement_character_of_the_text_itself_is_not_held_back():
    ours, _ = tokenizer("byte-level")
    decoder = ours.decoder()
    assert [decoder.push(token_id) for token_id in ours.encode("\ufffd")] == ["", "", "\ufffd"]


def test_an_unfinished_character_is_flushed_as_one_replacement_character():
    ours, _ = tokenizer("byte-level")
    decoder = ours.decoder()
    first, second, *_ = ours.encode("🧮")
    assert (decoder.push(first), decoder.push(second), decoder.flush()) == ("", "", "\ufffd")


def test_special_tokens_are_never_found_in_text():
    ours, _ = tokenizer("byte-level")
    assert 2 not in ours.encode("a<eos>b<bos>")
    assert ours.decode([1, *ours.encode("a<eos>b"), 2]) == "a<eos>b"


def test_pieces_cover_the_text_in_code_points():
    ours, _ = tokenizer("byte-level")
    pieces = ours.pieces("x🧮y")
    assert [piece.token_id for piece in pieces] == ours.encode("x🧮y")
    assert {(piece.start, piece.end) for piece in pieces} == {(0, 1), (1, 2), (2, 3)}


def test_ids_beyond_the_vocabulary_have_no_text():
    for kind in ("byte-level", "characters"):
        ours, _ = tokenizer(kind)
        assert ours.decode([10**6]) == ours.decoder().push(10**6) == ""


def test_a_file_that_is_no_tokenizer_is_refused_with_its_name(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(BundleError, match=r"tokenizer\.json: is not a tokenizer"):
        Tokenizer.load(path)
