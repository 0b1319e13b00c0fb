"""Marian (Junczys-Dowmunt et al. 2018), the encoder-decoder of the OPUS-MT translators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from pydantic import model_validator
from torch import Tensor

from training.pretrained.architecture import Architecture, Description


class _Marian(Description):
    vocab_size: int
    decoder_vocab_size: int | None = None
    d_model: int
    encoder_layers: int
    decoder_layers: int
    encoder_attention_heads: int
    decoder_attention_heads: int
    encoder_ffn_dim: int
    decoder_ffn_dim: int
    num_hidden_layers: int | None = None
    max_position_embeddings: int
    activation_function: Literal["swish", "silu", "relu", "gelu"] = "gelu"
    scale_embedding: bool = False
    share_encoder_decoder_embeddings: bool = True
    tie_word_embeddings: bool = True
    static_position_embeddings: Literal[True] = True
    normalize_before: Literal[False] = False
    normalize_embedding: Literal[False] = False
    add_final_layer_norm: Literal[False] = False
    add_bias_logits: bool = False
    decoder_start_token_id: int | None = None
    pad_token_id: int | None = None

    @model_validator(mode="after")
    def _is_symmetric(self) -> _Marian:
        for part in ("layers", "attention_heads", "ffn_dim"):
            encoder, decoder = getattr(self, f"encoder_{part}"), getattr(self, f"decoder_{part}")
            if encoder != decoder:
                raise ValueError(f"decoder_{part}: {decoder} given, the encoder has {encoder}, and they must be equal")
        return self


_ACTIVATIONS = {"swish": "silu", "silu": "silu", "relu": "relu", "gelu": "gelu"}


def describe(fields: Mapping[str, Any], limit: int | None) -> dict[str, Any]:
    """Return the config of `transformer`."""
    given = _Marian.model_validate(fields)
    limit = min(limit or given.max_position_embeddings, given.max_position_embeddings)
    return {
        "vocabulary_size": given.decoder_vocab_size or given.vocab_size,
        "source_vocabulary_size": given.vocab_size,
        "width": given.d_model,
        "heads": given.encoder_attention_heads,
        "layers": given.encoder_layers,
        "hidden": given.encoder_ffn_dim,
        "activation": _ACTIVATIONS[given.activation_function],
        "sinusoids": "halves",
        "embedding_scale": None if given.scale_embedding else 1.0,
        "tied": given.tie_word_embeddings,
        "context_limit": limit,
        "source_limit": limit,
    }


def rename(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights of both halves."""
    shared = tensors.get("model.shared.weight")
    source, target = (tensors.get(f"model.{half}.embed_tokens.weight", shared) for half in ("encoder", "decoder"))
    if source is None or target is None:
        raise KeyError("model.shared.weight")
    yield "source_vocabulary.weight", source
    yield "vocabulary.weight", target
    if not config["tied"]:
        yield "vocabulary.output", tensors["lm_head.weight"]
    bias = tensors.get("final_logits_bias")
    yield "vocabulary.bias", torch.zeros(config["vocabulary_size"]) if bias is None else bias.flatten()
    for index in range(config["layers"]):
        encoder, decoder = f"model.encoder.layers.{index}", f"model.decoder.layers.{index}"
        for kind in ("weight", "bias"):
            yield from _block(tensors, encoder, f"encoder.{index}", kind)
            yield from _block(tensors, decoder, f"decoder.{index}", kind, past=True)
            attention, ours = f"{decoder}.encoder_attn", f"decoder.{index}.cross_attention"
            yield f"{ours}.query.{kind}", tensors[f"{attention}.q_proj.{kind}"]
            parts = [tensors[f"{attention}.{part}_proj.{kind}"] for part in "kv"]
            yield f"{ours}.key_value.{kind}", torch.cat(parts)
            yield f"{ours}.merge.{kind}", tensors[f"{attention}.out_proj.{kind}"]
            yield f"decoder.{index}.cross_residual.norm.{kind}", tensors[f"{attention}_layer_norm.{kind}"]


def _block(
    tensors: Mapping[str, Tensor], theirs: str, ours: str, kind: str, *, past: bool = False
) -> Iterator[tuple[str, Tensor]]:
    """Yield self-attention and feed-forward. past: queries, keys and values in one product, as behind a cache."""
    query, key, value = (tensors[f"{theirs}.self_attn.{part}_proj.{kind}"] for part in "qkv")
    if past:
        yield f"{ours}.attention.project.{kind}", torch.cat((query, key, value))
    else:
        yield f"{ours}.attention.query.{kind}", query
        yield f"{ours}.attention.key_value.{kind}", torch.cat((key, value))
    yield f"{ours}.attention.merge.{kind}", tensors[f"{theirs}.self_attn.out_proj.{kind}"]
    yield f"{ours}.attention_residual.norm.{kind}", tensors[f"{theirs}.self_attn_layer_norm.{kind}"]
    yield f"{ours}.feed_forward.expand.{kind}", tensors[f"{theirs}.fc1.{kind}"]
    yield f"{ours}.feed_forward.contract.{kind}", tensors[f"{theirs}.fc2.{kind}"]
    yield f"{ours}.feed_forward_residual.norm.{kind}", tensors[f"{theirs}.final_layer_norm.{kind}"]


MARIAN = Architecture("transformer", describe, rename, ignored=("embed_positions.weight",))
