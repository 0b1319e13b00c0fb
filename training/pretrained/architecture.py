"""What each architecture has to say: its configuration in our words, and its tensors under our names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict
from torch import Tensor

# Fields that change nothing about what a trained model computes: names, versions, training, and how others load it.
BOOKKEEPING = frozenset({
    "architectures", "attention_dropout", "attn_pdrop", "activation_dropout", "bad_words_ids",
    "bos_token_id", "classifier_dropout", "classif_dropout", "dropout", "dtype", "embd_pdrop", "decoder_layerdrop",
    "encoder_layerdrop", "eos_token_id", "forced_bos_token_id", "forced_eos_token_id", "id2label", "init_std",
    "initializer_range", "is_decoder", "is_encoder_decoder", "label2id", "max_length", "model_type", "num_beams",
    "num_hidden_layers_encoder", "output_attentions", "output_hidden_states", "pretraining_tp", "problem_type",
    "quantization_config", "resid_pdrop", "return_dict", "summary_activation", "summary_first_dropout",
    "summary_proj_to_labels", "summary_type", "summary_use_proj", "task_specific_params", "torch_dtype",
    "transformers_version", "unk_token_id", "use_cache", "reorder_and_upcast_attn", "chunk_size_feed_forward",
    "max_window_layers", "layer_types",
})  # fmt: skip


class Description(BaseModel):
    """config.json of one architecture: only what changes the computation; a field that is not here is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Architecture:
    """One way in which others build a Transformer, as a choice of options of ours.

    Attributes:
        family: ours.
        describe: makes our family's config from (config.json without bookkeeping, context limit or None).
        rename: yields the tensors under our names, given theirs and our config.
        ignored: ends of names of tensors that are no weights.
    """

    family: str
    describe: Callable[[Mapping[str, Any], int | None], dict[str, Any]]
    rename: Callable[[Mapping[str, Tensor], Mapping[str, Any]], Iterator[tuple[str, Tensor]]]
    ignored: tuple[str, ...] = ()
