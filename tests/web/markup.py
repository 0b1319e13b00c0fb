"""A model that writes markup, always the same: what a page must show and not obey."""

from pathlib import Path

import torch

from bundle.manifest import Training
from export.subject import Subject
from export.write import Target, write_bundle
from training.models.families import FAMILIES
from training.tokenization import SPECIAL_TOKENS, encode, load_tokenizer, train_tokenizer

MARKUP = "markup"
TEXT = "<img src=x onerror=alert(1)><b>&amp;</b>"


def export_markup(models: Path) -> None:
    """Export it into a folder of models."""
    tokenizer = models.parent / "markup.json"
    train_tokenizer("characters", [TEXT], 100).save(str(tokenizer))
    loaded = load_tokenizer(tokenizer)
    (ids,) = encode(loaded, [TEXT])
    config = {"vocabulary_size": loaded.get_vocab_size(), "order": 8, "table_bits": 10, "successors": 4}
    torch.manual_seed(1)
    model = FAMILIES["ngram"].build(config)
    model.count([[SPECIAL_TOKENS.bos, *ids.tolist(), SPECIAL_TOKENS.eos]])
    training = Training(parameters=1, data="none", metrics={})
    subject = Subject(model.eval(), "ngram", tokenizer, None, SPECIAL_TOKENS, training)
    write_bundle(subject, Target(models, MARKUP, 1), threads=1)
