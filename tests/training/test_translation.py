from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tiny import tiny_model
from training.models.step_model import SourceStepModel
from training.tokenization import train_tokenizer
from training.translation import score, translate


def test_scores_of_perfect_and_of_wrong_texts():
    perfect = score(["a b c d", "e f g h"], ["a b c d", "e f g h"])
    assert perfect == {"exact_match": 1.0, "chrf": pytest.approx(100), "bleu": pytest.approx(100)}
    half = score(["a b c d", "x y z"], ["a b c d", "e f g h"])
    assert half["exact_match"] == 0.5
    assert half["chrf"] < 60


@pytest.mark.parametrize("label", ["transformer", "gru-seq2seq"])
def test_a_source_decodes_the_same_alone_and_among_others(label: str):
    torch.manual_seed(1)
    tokenizer = train_tokenizer("characters", ["abcdefghijklmnopqrstuvwxyz0123456789"], 40)
    model = tiny_model(label, vocabulary_size=40)
    assert isinstance(model, SourceStepModel)
    model.train()
    generator = np.random.default_rng(0)
    sources = [generator.integers(4, 40, size=size).astype(np.uint16) for size in (3, 9, 1, 6)]
    together = translate(model, tokenizer, sources, 12)
    assert together == [translate(model, tokenizer, [source], 12)[0] for source in sources]
    assert model.training
    assert any(together)
