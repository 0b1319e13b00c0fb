from __future__ import annotations

from pathlib import Path

import pytest

from training.corpus import choose_by_size, excerpt, fingerprint, read_corpus, split_documents


def test_a_split_is_disjoint_complete_and_decided_by_its_seed():
    documents = [f"document {number} " * (number + 1) for number in range(40)]
    training, validation = split_documents(documents, 0.2, seed=3)
    assert sorted(training + validation) == sorted(documents)
    assert not set(training) & set(validation)
    assert (training, validation) == split_documents(documents, 0.2, seed=3)
    assert validation != split_documents(documents, 0.2, seed=4)[1]
    share = sum(map(len, validation)) / sum(map(len, documents))
    assert 0.1 < share <= 0.2


def test_a_split_leaves_both_sides_something():
    assert choose_by_size([1000, 1], 0.5, seed=0) == {1}
    assert choose_by_size([5, 5], 0.01, seed=0) == {0}


@pytest.mark.parametrize("text", ["one\ntwo\nthree\nfour\n", "one two three four", "onetwothree"])
def test_a_single_document_is_cut_in_two(text: str):
    (training,), (validation,) = split_documents([text], 0.3, seed=0)
    assert training + validation == text
    assert training and validation


def test_a_folder_gives_its_texts_in_order_and_skips_what_is_no_text(tmp_path: Path):
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\x00\x01")
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    (tmp_path / ".hidden").write_text("hidden")
    corpus = read_corpus(str(tmp_path))
    assert corpus.documents == ("first", "second")
    assert corpus.skipped == 2


def test_the_standard_library_comes_without_tests_and_tables():
    corpus = read_corpus("stdlib")
    assert any("class OrderedDict(" in text for text in corpus.documents)
    assert not any("Python Character Mapping Codec" in text for text in corpus.documents)
    assert not any("import pytest" in text for text in corpus.documents)


@pytest.mark.parametrize("content", [b"", b"  \n", b"\xff\xfe\xfa", b"a\x00b"])
def test_a_file_without_text_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="--data: "):
        read_corpus(str(path))


def test_a_fingerprint_tells_texts_apart():
    assert fingerprint(["ab", "c"]) != fingerprint(["a", "bc"])
    assert fingerprint(["ab", "c"]) == fingerprint(["ab", "c"])


def test_an_excerpt_is_bounded_and_takes_a_little_of_many_documents():
    documents = [chr(ord("a") + number) * 100_000 + "é" for number in range(26)]
    chosen = excerpt(documents, 1600)
    assert len(chosen.encode()) <= 1600
    assert len({*chosen} - {"\n"}) == 16
    assert excerpt(["é" * 10], 8) == "ééé"
