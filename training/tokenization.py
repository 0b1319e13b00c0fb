"""Tokenizers: training one on texts, saving, loading, and turning texts into compact arrays of ids.

Two kinds. Byte-level BPE (Sennrich et al. 2016, over bytes as in GPT-2) writes any text with no unknown; characters
has one token for each character seen in training and `<unk>` for the rest. Knows nothing about batches or models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from bundle.manifest import SpecialTokens

TokenizerKind = Literal["bpe", "characters"]
Ids = np.ndarray[tuple[int], np.dtype[np.unsignedinteger]]

SPECIAL_TOKENS = SpecialTokens(pad=0, bos=1, eos=2)
_SPECIAL = ("<pad>", "<bos>", "<eos>")
_UNKNOWN = "<unk>"
_BYTES = 256
_ENCODE_AT_ONCE = 64


def train_tokenizer(kind: TokenizerKind, texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """Train a tokenizer with at most `vocabulary_size` ids, the special ones included.

    Raises:
        ValueError: the vocabulary has no room for what this kind always holds.
    """
    fixed = len(_SPECIAL) + (_BYTES if kind == "bpe" else 1)
    if vocabulary_size <= fixed:
        raise ValueError(f"--vocabulary-size: {kind} needs more than {fixed}, {vocabulary_size} given")
    return _train_bpe(texts, vocabulary_size) if kind == "bpe" else _train_characters(texts, vocabulary_size)


def load_tokenizer(path: Path) -> Tokenizer:
    """Load a tokenizer for encoding data: a special token's name inside a text is plain text.

    Raises:
        ValueError: the file is missing or is not a tokenizer.
    """
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 (the library raises plain Exception)
        raise ValueError(f"{path}: not a tokenizer: {error}") from None
    tokenizer.encode_special_tokens = True
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[Ids]:
    """Yield the ids of each text, without special tokens, in the smallest unsigned type that holds the vocabulary."""
    dtype = np.uint16 if tokenizer.get_vocab_size() <= 1 << 16 else np.uint32
    remaining = iter(texts)
    # A few at a time: the library's own record of an encoded text is a hundred times larger than the ids.
    while several := list(islice(remaining, _ENCODE_AT_ONCE)):
        for encoding in tokenizer.encode_batch_fast(several, add_special_tokens=False):
            yield np.array(encoding.ids, dtype=dtype)


def _train_bpe(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _train_characters(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    counts = Counter(chain.from_iterable(texts))
    names = [*_SPECIAL, _UNKNOWN]
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    vocabulary = {name: token for token, name in enumerate(names + ranked[: vocabulary_size - len(names)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=_UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(names)
    return tokenizer
