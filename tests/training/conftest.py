"""A small corpus, small pairs and small models: everything here trains in a second."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from training.__main__ import main

LANGUAGE = ["--width", "16", "--tokenizer", "characters", "--batch-size", "4", "--sequence-length", "16"]
PAIRS = ["--width", "16", "--batch-size", "8", "--source-limit", "24", "--validation-fraction", "0.2"]
QUICK = ["--threads", "1", "--accelerator", "cpu", "--warmup-steps", "2"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs.tsv")


def write_corpus(folder: Path) -> Path:
    """Write a folder of twelve documents that repeat themselves in different words, with Hangul and emoji."""
    folder.mkdir()
    generator = random.Random(0)
    for number in range(12):
        words = generator.choices(["for", "x", "in", "items", ":", "\n    ", "print(x)", "한국어", "🎉"], k=120)
        (folder / f"{number:02}.txt").write_text(f"document {number}\n" + " ".join(words), encoding="utf-8")
    return folder


def write_pairs(path: Path, longest: int = 3) -> Path:
    """Write pairs of a word of 3 to `longest` letters and the same in capitals."""
    generator = random.Random(0)
    sources = sorted({"".join(generator.choices("abcde", k=generator.randint(3, longest))) for _ in range(200)})
    path.write_text("".join(f"{source}\t{source.upper()}\n" for source in sources), encoding="utf-8")
    return path


@pytest.fixture
def train(corpus: Path, pairs: Path, tmp_path: Path) -> Callable[..., Path]:
    """Train `family` by its command line in this process, with small defaults, and return the run folder."""

    def run(family: str, *flags: str, name: str = "run") -> Path:
        out = tmp_path / name
        small = ["--pairs", str(pairs), *PAIRS] if family in ("transformer", "gru-seq2seq") else LANGUAGE
        data = [] if small[0] == "--pairs" else ["--data", str(corpus)]
        if family in ("markov", "ngram"):
            arguments = [family, *data, "--tokenizer", "characters", "--threads", "1"]
        else:
            arguments = [family, *data, *small, *QUICK]
        assert main([*arguments, "--out", str(out), *flags]) == 0
        return out

    return run
