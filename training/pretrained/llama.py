"""Llama and what follows its plan: SmolLM2, Mistral, Qwen2, Qwen3."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from training.models.cached_attention import Biases
from training.pretrained.architecture import Architecture, Description
from training.pretrained.rotary import Rotary


class _Llama(Description):
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: Literal["silu"] = "silu"
    max_position_embeddings: int
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    rope_parameters: Rotary = Field(default_factory=Rotary)
    sliding_window: int | None = None
    use_sliding_window: bool = True
    pad_token_id: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _join_rotary(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Take `rope_theta` and `rope_scaling` of older files for what newer ones call `rope_parameters`."""
        values = dict(values)
        older = dict(values.pop("rope_scaling", None) or {})
        if "type" in older:
            older.setdefault("rope_type", older.pop("type"))
        if "rope_theta" in values:
            older["rope_theta"] = values.pop("rope_theta")
        return {**values, "rope_parameters": {**older, **(values.get("rope_parameters") or {})}}


def describe(
    fields: Mapping[str, Any], limit: int | None, biases: Biases | None, query_key_norm: bool
) -> dict[str, Any]:
    """Return the config of `transformer-lm`. biases: of attention, where the file does not say."""
    given = _Llama.model_validate(fields)
    limit = min(limit or given.max_position_embeddings, given.max_position_embeddings)
    if given.sliding_window is not None and given.use_sliding_window and given.sliding_window < limit:
        raise ValueError(
            f"sliding_window: {given.sliding_window} tokens are attended to; give --context-limit of at most that"
        )
    head_width = given.head_dim or given.hidden_size // given.num_attention_heads
    rotary = given.rope_parameters
    return {
        "vocabulary_size": given.vocab_size,
        "width": given.hidden_size,
        "heads": given.num_attention_heads,
        "kv_heads": given.num_key_value_heads or given.num_attention_heads,
        "head_width": head_width,
        "layers": given.num_hidden_layers,
        "hidden": given.intermediate_size,
        "positions": "rope",
        "rope_frequencies": rotary.turning(head_width, given.max_position_embeddings).tolist(),
        "rope_magnitude": rotary.magnitude,
        "norm": "rms",
        "norm_epsilon": given.rms_norm_eps,
        "query_key_norm": query_key_norm,
        "activation": "swiglu",
        "attention_biases": biases or ("all" if given.attention_bias else "none"),
        "feed_forward_biases": given.mlp_bias,
        "output_bias": False,
        "embedding_scale": 1.0,
        "tied": given.tie_word_embeddings,
        "context_limit": limit,
    }


def rename(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights; products that read the same input become one, as `transformer-lm` has them."""
    yield "vocabulary.weight", tensors["model.embed_tokens.weight"]
    if not config["tied"]:
        yield "vocabulary.output", tensors["lm_head.weight"]
    yield "norm.weight", tensors["model.norm.weight"]
    for index in range(config["layers"]):
        theirs, ours = f"model.layers.{index}", f"blocks.{index}"
        yield f"{ours}.attention_norm.weight", tensors[f"{theirs}.input_layernorm.weight"]
        yield f"{ours}.feed_forward_norm.weight", tensors[f"{theirs}.post_attention_layernorm.weight"]
        if config["query_key_norm"]:
            yield f"{ours}.attention.query_norm.weight", tensors[f"{theirs}.self_attn.q_norm.weight"]
            yield f"{ours}.attention.key_norm.weight", tensors[f"{theirs}.self_attn.k_norm.weight"]
        for kind, wanted in (
            ("weight", (True, True, True)),
            ("bias", (config["attention_biases"] != "none", config["attention_biases"] == "all",
                      config["feed_forward_biases"])),
        ):  # fmt: skip
            projected, merged, fed = wanted
            if projected:
                parts = [tensors[f"{theirs}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
                yield f"{ours}.attention.project.{kind}", torch.cat(parts)
            if merged:
                yield f"{ours}.attention.merge.{kind}", tensors[f"{theirs}.self_attn.o_proj.{kind}"]
            if fed:
                parts = [tensors[f"{theirs}.mlp.{part}_proj.{kind}"] for part in ("gate", "up")]
                yield f"{ours}.feed_forward.expand.{kind}", torch.cat(parts)
                yield f"{ours}.feed_forward.contract.{kind}", tensors[f"{theirs}.mlp.down_proj.{kind}"]


def _architecture(biases: Biases | None = None, *, query_key_norm: bool = False) -> Architecture:
    described: Callable[[Mapping[str, Any], int | None], dict[str, Any]] = partial(
        describe, biases=biases, query_key_norm=query_key_norm
    )
    return Architecture("transformer-lm", described, rename, ignored=("rotary_emb.inv_freq",))


LLAMA = _architecture()
QWEN2 = _architecture("qkv")
QWEN3 = _architecture(query_key_norm=True)
