"""Greedy decoding of many sources at once through the step contract, and how well the result matches.

Knows nothing about how a model came to be trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from sacrebleu import corpus_bleu, corpus_chrf
from tokenizers import Tokenizer
from torch import Tensor

from training.batches import stack
from training.models.step_model import SourceStepModel
from training.tokenization import SPECIAL_TOKENS, Ids

_AT_ONCE = 256


@torch.no_grad()
def translate(model: SourceStepModel, tokenizer: Tokenizer, sources: Sequence[Ids], limit: int) -> list[str]:
    """Decode the likeliest token at each step until <eos>, at most `limit` tokens; `sources` without special tokens.

    The model is put into evaluation mode for as long as it takes.
    """
    was_training = model.training
    model.eval()
    # Sources of similar length together; every answer goes back to its place.
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    texts = [""] * len(sources)
    for first in range(0, len(order), _AT_ONCE):
        chosen = order[first : first + _AT_ONCE]
        rows = [[*sources[index].tolist(), SPECIAL_TOKENS.eos] for index in chosen]
        decoded = _decode(model, *stack(rows, SPECIAL_TOKENS.pad), limit)
        for index, tokens in zip(chosen, decoded.tolist(), strict=True):
            texts[index] = tokenizer.decode(_until_end(tokens), skip_special_tokens=True)
    model.train(was_training)
    return texts


def score(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Return exact_match (0 … 1), chrf (Popović 2015) and bleu (Papineni et al. 2002), both 0 … 100, by sacrebleu."""
    exact = sum(text == reference for text, reference in zip(hypotheses, references, strict=True)) / len(references)
    return {
        "exact_match": exact,
        "chrf": corpus_chrf(hypotheses, [references]).score,
        "bleu": corpus_bleu(hypotheses, [references], force=True).score,
    }


def _decode(model: SourceStepModel, source: Tensor, lengths: Tensor, limit: int) -> Tensor:
    """Return token ids [B, at most limit] int64; behind its first <eos> a row is meaningless."""
    device = next(model.parameters()).device
    batch = len(source)
    state = model.initial_state(batch, capacity=limit)
    state |= model.start(source.to(device), lengths.to(device))
    static = {spec.name: state[spec.name] for spec in model.states if spec.kind == "static"}
    tokens = torch.full((batch, 1), SPECIAL_TOKENS.bos, device=device)
    ones = torch.ones(batch, dtype=torch.int64, device=device)
    ended = torch.zeros(batch, dtype=torch.bool, device=device)
    decoded = []
    for _ in range(limit):
        features, state = model.step(tokens, ones, static | state)
        tokens = model.logits(features).argmax(-1)
        decoded.append(tokens)
        ended |= tokens[:, 0] == SPECIAL_TOKENS.eos
        if ended.all():
            break
    return torch.cat(decoded, dim=1).cpu()


def _until_end(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(SPECIAL_TOKENS.eos)] if SPECIAL_TOKENS.eos in tokens else tokens
