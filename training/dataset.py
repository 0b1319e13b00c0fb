"""From text to token ids: the training and the validation side of a run's data, ready to be cut into batches.

Knows nothing about batches or models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from training.corpus import Corpus, fingerprint, split_documents
from training.pairs import Pair, PairsCorpus, split_pairs
from training.tokenization import SPECIAL_TOKENS, Ids, encode


@dataclass(frozen=True, slots=True)
class Texts:
    """A corpus after its split, before it has tokens. `sha256` is that of both sides, `notes` are for people."""

    name: str
    training: list[str]
    validation: list[str]
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PairTexts:
    """Pairs after their split."""

    name: str
    training: list[Pair]
    validation: list[Pair]
    sha256: str


@dataclass(frozen=True, slots=True)
class LanguageDataset:
    """Token ids of all documents, one behind the other, each closed by <eos>.

    Attributes:
        training, validation: the two streams.
        tokens_per_byte: tokens of the validation stream for each byte of its UTF-8 text.
    """

    training: Ids
    validation: Ids
    tokens_per_byte: float

    def documents(self) -> Iterator[list[int]]:
        """Yield the training documents with <bos> and <eos>."""
        ends = np.flatnonzero(self.training == SPECIAL_TOKENS.eos) + 1
        for document in np.split(self.training, ends[:-1]):
            yield [SPECIAL_TOKENS.bos, *document.tolist()]


@dataclass(frozen=True, slots=True)
class PairsDataset:
    """Token ids of (source, target), without special tokens.

    Attributes:
        training, validation: the pairs that fit the model.
        left_out: how many pairs are too long for it.
        tokens_per_byte: target tokens, <eos> included, for each byte of held-out target text.
        references: the target texts of the validation pairs.
    """

    training: list[tuple[Ids, Ids]]
    validation: list[tuple[Ids, Ids]]
    left_out: int
    tokens_per_byte: float
    references: list[str]


def split_corpus(corpus: Corpus, fraction: float, seed: int) -> Texts:
    """Hold out about `fraction` of the text, by document."""
    training, validation = split_documents(corpus.documents, fraction, seed)
    count = len(corpus.documents)
    name = f"{corpus.name}, {count:,} document{'s' if count > 1 else ''}"
    notes = (f"{corpus.skipped:,} files are not UTF-8 text and were left out",) if corpus.skipped else ()
    return Texts(name, training, validation, fingerprint([*training, *validation]), notes)


def split_parallel(corpus: PairsCorpus, fraction: float, seed: int) -> PairTexts:
    """Hold out `fraction` of the sources."""
    training, validation = split_pairs(corpus.pairs, fraction, seed)
    sha256 = fingerprint(text for pair in [*training, *validation] for text in pair)
    return PairTexts(f"{corpus.name}, {len(corpus.pairs):,} pairs", training, validation, sha256)


def encode_language(texts: Texts, tokenizer: Tokenizer) -> LanguageDataset:
    """Turn documents into two streams of ids."""
    validation = _stream(texts.validation, tokenizer)
    size = sum(len(text.encode()) for text in texts.validation)
    return LanguageDataset(_stream(texts.training, tokenizer), validation, len(validation) / size)


def encode_pairs(
    texts: PairTexts, source_tokenizer: Tokenizer, tokenizer: Tokenizer, source_limit: int, target_limit: int | None
) -> PairsDataset:
    """Turn pairs into ids, leaving out those longer than the limits (in tokens, the special one included).

    Raises:
        ValueError: on one side of the split no pair is left.
    """
    sides = []
    references: list[str] = []
    for pairs in (texts.training, texts.validation):
        sources = encode(source_tokenizer, [source for source, _ in pairs])
        targets = encode(tokenizer, [target for _, target in pairs])
        rows = [
            (source, target, text)
            for source, target, (_, text) in zip(sources, targets, pairs, strict=True)
            if len(source) < source_limit and (target_limit is None or len(target) < target_limit)
        ]
        if not rows:
            raise ValueError(f"--pairs: no pair fits --source-limit {source_limit} and --context-limit {target_limit}")
        sides.append([(source, target) for source, target, _ in rows])
        references = [text for _, _, text in rows]
    training, validation = sides
    left_out = len(texts.training) + len(texts.validation) - len(training) - len(validation)
    tokens = sum(len(target) + 1 for _, target in validation)
    size = sum(len(text.encode()) for text in references)
    return PairsDataset(training, validation, left_out, tokens / size, references)


def _stream(texts: Sequence[str], tokenizer: Tokenizer) -> Ids:
    pieces = []
    for ids in encode(tokenizer, texts):
        pieces += [ids, np.full(1, SPECIAL_TOKENS.eos, dtype=ids.dtype)]
    stream: Ids = np.concatenate(pieces)
    return stream
