"""GPT-2 (Radford et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from torch import Tensor

from training.pretrained.architecture import Architecture, Description


class _Gpt2(Description):
    vocab_size: int
    n_embd: int
    n_head: int
    n_layer: int
    n_positions: int
    n_ctx: int | None = None
    n_inner: int | None = None
    activation_function: Literal["gelu_new", "gelu_pytorch_tanh", "gelu", "relu"] = "gelu_new"
    layer_norm_epsilon: float = 1e-5
    scale_attn_weights: Literal[True] = True
    scale_attn_by_inverse_layer_idx: Literal[False] = False
    add_cross_attention: Literal[False] = False
    tie_word_embeddings: bool = True
    pad_token_id: int | None = None


_ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu", "relu": "relu"}
_LAYERS = {
    "ln_1": "attention_norm",
    "attn.c_attn": "attention.project",
    "attn.c_proj": "attention.merge",
    "ln_2": "feed_forward_norm",
    "mlp.c_fc": "feed_forward.expand",
    "mlp.c_proj": "feed_forward.contract",
}


def describe(fields: Mapping[str, Any], limit: int | None) -> dict[str, Any]:
    """Return the config of `transformer-lm`."""
    given = _Gpt2.model_validate(fields)
    return {
        "vocabulary_size": given.vocab_size,
        "width": given.n_embd,
        "heads": given.n_head,
        "layers": given.n_layer,
        "hidden": given.n_inner or 4 * given.n_embd,
        "positions": "learned",
        "norm": "layer",
        "norm_epsilon": given.layer_norm_epsilon,
        "activation": _ACTIVATIONS[given.activation_function],
        "output_bias": False,
        "embedding_scale": 1.0,
        "tied": given.tie_word_embeddings,
        "context_limit": min(limit or given.n_positions, given.n_positions),
    }


def rename(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights; matrices lie transposed in these files."""
    prefix = "transformer." if "transformer.wte.weight" in tensors else ""
    yield "vocabulary.weight", tensors[f"{prefix}wte.weight"]
    if not config["tied"]:
        yield "vocabulary.output", tensors["lm_head.weight"]
    yield "positions", tensors[f"{prefix}wpe.weight"][: config["context_limit"]]
    for kind in ("weight", "bias"):
        yield f"norm.{kind}", tensors[f"{prefix}ln_f.{kind}"]
        for index in range(config["layers"]):
            for theirs, ours in _LAYERS.items():
                tensor = tensors[f"{prefix}h.{index}.{theirs}.{kind}"]
                yield f"blocks.{index}.{ours}.{kind}", tensor.T if tensor.dim() == 2 else tensor


GPT2 = Architecture("transformer-lm", describe, rename, ignored=(".attn.bias", ".attn.masked_bias"))
