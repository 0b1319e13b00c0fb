"""From settings to token ids: read, split, fit the tokenizers, encode; the same four steps for text and for pairs.

Tokenizers that are in the run folder already are used as they are: those of a resumed run, or those that the first
process of a distributed run has just written. Knows nothing about models.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric
from tokenizers import Tokenizer

from bundle.folder import SOURCE_TOKENIZER, TOKENIZER
from training.atomic import replacing
from training.corpus import read_corpus
from training.dataset import LanguageDataset, PairTexts, Texts, encode_language, split_corpus, split_parallel
from training.pairs import read_pairs
from training.settings import LanguageData, PairsData
from training.tokenization import load_tokenizer, train_tokenizer


def prepare_language(
    settings: LanguageData, seed: int, folder: Path, fabric: Fabric | None = None
) -> tuple[Texts, Tokenizer, LanguageDataset]:
    """Return the split text, its tokenizer and its ids. Raises ValueError where the data is not usable."""
    texts = split_corpus(read_corpus(settings.data), settings.validation_fraction, seed)
    _fit_tokenizers({folder / TOKENIZER: texts.training}, settings, fabric)
    tokenizer = load_tokenizer(folder / TOKENIZER)
    return texts, tokenizer, encode_language(texts, tokenizer)


def prepare_pairs(
    settings: PairsData, seed: int, folder: Path, fabric: Fabric | None = None
) -> tuple[PairTexts, Tokenizer, Tokenizer]:
    """Return the split pairs and the tokenizers of sources and of targets. Raises ValueError likewise."""
    texts = split_parallel(read_pairs(settings.pairs, seed), settings.validation_fraction, seed)
    sources, targets = zip(*texts.training, strict=True)
    _fit_tokenizers({folder / SOURCE_TOKENIZER: sources, folder / TOKENIZER: targets}, settings, fabric)
    return texts, load_tokenizer(folder / SOURCE_TOKENIZER), load_tokenizer(folder / TOKENIZER)


def _fit_tokenizers(
    texts: dict[Path, Sequence[str]], settings: LanguageData | PairsData, fabric: Fabric | None
) -> None:
    if fabric is None or fabric.is_global_zero:
        for path, lines in texts.items():
            if not path.exists():
                tokenizer = train_tokenizer(settings.tokenizer, lines, settings.vocabulary_size)
                with replacing(path) as file:
                    file.write(tokenizer.to_str(pretty=True).encode())
    if fabric is not None and fabric.world_size > 1:
        fabric.barrier()
        _check_shared(list(texts), fabric)


def _check_shared(paths: Sequence[Path], fabric: Fabric) -> None:
    # All processes agree: if only those that miss a file gave up, the others would wait for them.
    seen = torch.tensor(float(all(path.exists() for path in paths)), device=fabric.device)
    everywhere = fabric.all_reduce(seen, reduce_op="mean")
    if everywhere != 1:
        raise ValueError(
            f"--out: {paths[0].parent} is not the same folder in all processes; machines need a shared one"
        )
