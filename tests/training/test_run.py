"""Run folders: what training writes is what `load_run` reads, for every way of fitting."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from training.run import load_run, open_folder

Train = Callable[..., Path]


@pytest.mark.parametrize("family", ["naive", "ar", "latent", "rnn", "markov", "ngram"])
def test_a_language_model_comes_back_as_it_was_measured(family: str, train: Train):
    flags = [] if family in ("markov", "ngram") else ["--steps", "3"]
    if family == "latent":
        flags += ["--slowest", "8"]
    run = load_run(train(family, *flags))
    assert run.family == family
    assert run.model.vocabulary_size == Tokenizer.from_file(str(run.tokenizer)).get_vocab_size()
    assert run.source_tokenizer is None
    assert run.summary.parameters == run.model.parameter_count
    assert run.summary.data_sha256 is not None and len(run.summary.data_sha256) == 64
    assert run.summary.metrics["validation_loss"] > 0
    assert (run.special_tokens.pad, run.special_tokens.bos, run.special_tokens.eos) == (0, 1, 2)
    assert not run.model.training
    assert run.held_out is not None and run.held_out.name == "held_out.txt"
    assert 0 < run.held_out.stat().st_size <= 2**16


@pytest.mark.parametrize("family", ["transformer", "gru-seq2seq"])
def test_an_encoder_decoder_learns_its_pairs(family: str, train: Train):
    flags = ["--heads", "2", "--context-limit", "16"] if family == "transformer" else []
    path = train(family, "--steps", "300", "--learning-rate", "0.01", "--validate-every", "150", *flags)
    run = load_run(path)
    assert run.source_tokenizer is not None
    assert run.summary.metrics["exact_match"] > 0.5
    assert run.summary.metrics["chrf"] > 50
    assert set(run.summary.metrics) >= {"validation_loss", "perplexity", "bits_per_byte", "bleu"}
    assert run.held_out == path / "held_out.tsv"
    held_out = [line.split("\t") for line in (path / "held_out.tsv").read_text().splitlines()]
    assert all(source.upper() == target for source, target in held_out)


def test_counting_beats_guessing(train: Train):
    bigram, guessing = load_run(train("markov")), 60
    assert bigram.summary.metrics["perplexity"] < guessing / 4


@pytest.mark.parametrize("name", ["config.json", "weights.pt", "tokenizer.json", "summary.json"])
def test_a_missing_file_is_named(name: str, train: Train):
    run = train("gru", "--steps", "1")
    (run / name).unlink()
    with pytest.raises(ValueError, match=f"{name}: no such file"):
        load_run(run)


def test_a_config_that_does_not_fit_is_explained_in_one_line(train: Train):
    run = train("gru", "--steps", "1")
    config = json.loads((run / "config.json").read_text())
    config["model"]["width"] = 0
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json: model: width: .* \(0 given\)$"):
        load_run(run)
    config["model"]["width"] = 8
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"weights\.pt: not the weights of this model") as caught:
        load_run(run)
    assert "\n" not in str(caught.value)


def test_weights_that_are_cut_off_are_refused(train: Train):
    run = train("gru", "--steps", "1")
    content = (run / "weights.pt").read_bytes()
    (run / "weights.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"weights\.pt: not the weights"):
        load_run(run)


def test_weights_hold_tensors_only(train: Train):
    weights = torch.load(train("lstm", "--steps", "1") / "weights.pt", weights_only=True)
    assert all(isinstance(tensor, torch.Tensor) for tensor in weights.values())


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"holds thesis\.tex, which is not part of a run"):
        open_folder(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").exists()
