"""Tiny configurations of every family, for every test that needs a model: small enough to train and export in seconds.

A label is a variant of a family; vocabulary sizes are filled in by `tiny_config`.
"""

from __future__ import annotations

from typing import Any

from training.models.families import FAMILIES
from training.models.step_model import StepModel

_RECURRENT = {"width": 16, "layers": 2}
_DECODER = {"width": 32, "heads": 4, "layers": 2, "hidden": 48, "context_limit": 64}

# Sources above and below what a step reads of them at once: 64 places, 128, all.
_SOURCE_LIMIT = 150
_ENCODER_DECODER = {**_DECODER, "context_limit": 48, "source_limit": _SOURCE_LIMIT}

TINY: dict[str, dict[str, Any]] = {
    "naive": {"family": "naive", "config": {"width": 16, "hidden": 24}},
    "ar": {"family": "ar", "config": {"window": 4, "width": 8, "hidden": 24}},
    "markov": {"family": "markov", "config": {}},
    "ngram": {"family": "ngram", "config": {"order": 4, "table_bits": 8, "successors": 4}},
    "latent": {"family": "latent", "config": {"width": 16}},
    "rnn-sigmoid": {"family": "rnn", "config": {**_RECURRENT, "activation": "sigmoid"}},
    "rnn-tanh": {"family": "rnn", "config": {**_RECURRENT, "activation": "tanh"}},
    "rnn-relu": {"family": "rnn", "config": {**_RECURRENT, "activation": "relu"}},
    "lstm": {"family": "lstm", "config": _RECURRENT},
    "gru": {"family": "gru", "config": _RECURRENT},
    "transformer-lm": {
        "family": "transformer-lm",
        "config": {**_DECODER, "width": 64, "kv_heads": 2, "positions": "rope", "norm": "rms", "activation": "swiglu"},
    },
    "transformer-lm-learned": {
        "family": "transformer-lm",
        "config": {**_DECODER, "positions": "learned", "norm": "layer", "activation": "gelu", "tied": False},
    },
    "transformer-lm-sinusoidal": {
        "family": "transformer-lm",
        "config": {**_DECODER, "positions": "sinusoidal", "norm": "layer", "activation": "gelu_tanh"},
    },
    "transformer-lm-query-key-norm": {
        "family": "transformer-lm",
        "config": {
            **_DECODER,
            "kv_heads": 2,
            "head_width": 16,
            "rope_frequencies": (1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.01),
            "rope_magnitude": 1.2,
            "norm_epsilon": 1e-6,
            "query_key_norm": True,
            "attention_biases": "qkv",
            "feed_forward_biases": False,
            "output_bias": False,
            "embedding_scale": 1.0,
        },
    },
    "transformer": {"family": "transformer", "config": _ENCODER_DECODER},
    "transformer-norm-first": {
        "family": "transformer",
        "config": {
            **_ENCODER_DECODER,
            "norm_first": True,
            "activation": "silu",
            "sinusoids": "halves",
            "embedding_scale": 1.0,
        },
    },
    "gru-seq2seq": {"family": "gru-seq2seq", "config": {**_RECURRENT, "source_limit": _SOURCE_LIMIT}},
}


def tiny_config(label: str, vocabulary_size: int, source_vocabulary_size: int | None = None) -> dict[str, Any]:
    """Return the config of `label` as a plain dictionary, sized for the vocabulary (the source's defaults to it)."""
    entry = TINY[label]
    config = {**entry["config"], "vocabulary_size": vocabulary_size}
    if FAMILIES[entry["family"]].task == "pairs":
        config["source_vocabulary_size"] = source_vocabulary_size or vocabulary_size
    return config


def tiny_model(label: str, vocabulary_size: int = 40, source_vocabulary_size: int | None = None) -> StepModel:
    """Return the untrained model of `label`."""
    return FAMILIES[TINY[label]["family"]].build(tiny_config(label, vocabulary_size, source_vocabulary_size))
