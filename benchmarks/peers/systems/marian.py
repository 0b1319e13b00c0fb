"""An encoder-decoder of Marian's size with random weights, and what CTranslate2 makes of it.

python -m benchmarks.peers.systems.marian make FOLDER
python -m benchmarks.peers.systems.marian convert FOLDER OUT float32|int8
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from ctranslate2.converters import TransformersConverter
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import MarianConfig, MarianMTModel

SIZE = 32_000
EOS, UNKNOWN, PAD = 0, 1, SIZE - 1


def vocabulary() -> dict[str, int]:
    """Return token -> id."""
    names = ["</s>", "<unk>", *(f"t{number}" for number in range(2, SIZE - 1)), "<pad>"]
    return {name: number for number, name in enumerate(names)}


def make(folder: Path) -> None:
    """Write a checkpoint: 6 + 6 layers, 512 wide, 8 heads, feed-forward 2,048, a vocabulary of 32,000."""
    torch.manual_seed(0)
    config = MarianConfig(
        vocab_size=SIZE,
        d_model=512,
        encoder_layers=6,
        decoder_layers=6,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_ffn_dim=2048,
        max_position_embeddings=512,
        activation_function="swish",
        scale_embedding=True,
        pad_token_id=PAD,
        eos_token_id=EOS,
        decoder_start_token_id=PAD,
    )
    MarianMTModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel(vocabulary(), unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["</s>", "<pad>"])
    tokenizer.save(str(folder / "tokenizer.json"))


class _Converter(TransformersConverter):  # type: ignore[misc]
    """The library's own, but for the tokenizer: Marian's wants a SentencePiece model, of which only names are used."""

    def load_tokenizer(self, tokenizer_class: object, model_name_or_path: str, **kwargs: object) -> SimpleNamespace:
        return SimpleNamespace(get_vocab=vocabulary, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")


def main(arguments: list[str]) -> None:
    """Do one of the two."""
    if arguments[0] == "make":
        make(Path(arguments[1]))
    else:
        _Converter(arguments[1]).convert(arguments[2], quantization=arguments[3])


if __name__ == "__main__":
    main(sys.argv[1:])
