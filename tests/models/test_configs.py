"""Configs: defaults that build, and refusals that name the field."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.models.conftest import VOCABULARY
from training.models.counting import CountingModel
from training.models.families import FAMILIES
from training.models.step_model import SourceStepModel


def config_of(family: str, **fields: object) -> dict[str, object]:
    sizes = {"vocabulary_size": VOCABULARY}
    if FAMILIES[family].task == "pairs":
        sizes["source_vocabulary_size"] = VOCABULARY
    return {**sizes, **fields}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_builds_from_its_vocabulary_sizes_alone(name):
    family = FAMILIES[name]
    model = family.build(config_of(name))
    assert isinstance(model, SourceStepModel) == (family.task == "pairs")
    assert isinstance(model, CountingModel) == (family.fit == "counting")
    assert model.vocabulary_size == VOCABULARY


@pytest.mark.parametrize("name", FAMILIES)
def test_every_field_says_what_it_is(name):
    for field, info in FAMILIES[name].config.model_fields.items():
        assert info.description, field
    assert FAMILIES[name].config.__doc__.startswith(f"`{name}`")


@pytest.mark.parametrize(
    ("family", "fields", "message"),
    [
        ("gru", {"wdith": 5}, "wdith"),
        ("gru", {"width": 0}, "width"),
        ("gru", {"dropout": 1.0}, "dropout"),
        ("rnn", {"activation": "gelu"}, "activation"),
        ("ar", {"window": 0}, "window"),
        ("latent", {"slowest": 1.0}, "slowest"),
        ("markov", {"vocabulary_size": 5000}, "vocabulary_size"),
        ("ngram", {"order": 8, "vocabulary_size": 4096}, "below 2\\^63"),
        ("ngram", {"order": 1}, "order"),
        ("transformer-lm", {"width": 96, "heads": 4}, "multiple of 16"),
        ("transformer-lm", {"width": 100, "heads": 3, "positions": "learned"}, "multiple of 8"),
        ("transformer-lm", {"width": 64, "heads": 4, "kv_heads": 3}, "kv_heads 3"),
        ("transformer", {"width": 36, "heads": 4}, "multiple of 8"),
        ("transformer", {"source_limit": 1}, "source_limit"),
        ("gru-seq2seq", {"source_vocabulary_size": 1}, "source_vocabulary_size"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(family, fields, message):
    with pytest.raises(ValidationError, match=message):
        FAMILIES[family].build(config_of(family, **fields))


def test_configs_are_frozen():
    config = FAMILIES["gru"].config.model_validate(config_of("gru"))
    with pytest.raises(ValidationError, match="frozen"):
        config.width = 3


def test_parameters_are_counted_once():
    tied, untied = (FAMILIES["gru"].build(config_of("gru", width=8, tied=value)) for value in (True, False))
    assert untied.parameter_count - tied.parameter_count == VOCABULARY * 8
    assert tied.parameter_count == sum(parameter.numel() for parameter in tied.parameters())
