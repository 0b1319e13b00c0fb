"""Generations by the client as its users write them: what is asked, and what a reader sees of one."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from bundle.manifest import Manifest
from service.client import Client
from service.failures import ClientError
from service.retry import Retry
from service.wire.options import Options

SAMPLINGS: tuple[Options, ...] = (
    {"temperature": 0.0},
    {"temperature": 1.0},
    {"temperature": 1.5, "top_k": 20},
    {"top_p": 0.9},
    {"repetition_penalty": 1.3, "frequency_penalty": 0.3},
)


_LONGEST = 30  # tokens of a prompt


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt of token ids, always continued by the same tokens."""

    model: str
    prompt: tuple[int, ...]
    options: Options


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reader got. pause: the longest time without a token, in seconds, the wait for the first included."""

    token_ids: tuple[int, ...]
    text: str
    logprobs: tuple[float, ...]
    reason: str
    pause: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class Noting(Retry):
    """A retry that notes what it was for."""

    failures: list[ClientError] = field(default_factory=list)

    def pause(self, error: ClientError, attempts: int) -> float | None:
        self.failures.append(error)
        return Retry.pause(self, error, attempts)


def some(manifest: Manifest, dice: random.Random, tokens: int) -> Asked:
    """Return a generation of `tokens` tokens, or as many as the context holds, with any sampling.

    Log-probabilities are asked for: they show every bit of the logits.
    """
    vocabulary = manifest.source_vocabulary_size or manifest.vocabulary_size
    # Sources of any length: how much of them a step reads goes by the longest of those that share it.
    longest = dice.choice((_LONGEST, manifest.source_limit or _LONGEST))
    prompt = tuple(dice.randrange(vocabulary) for _ in range(dice.randint(1, longest)))
    before = 1 if manifest.has_start else len(prompt)
    limit = tokens if manifest.context_limit is None else min(tokens, manifest.context_limit - before)
    options: Options = {
        **dice.choice(SAMPLINGS),
        "max_new_tokens": limit,
        "ignore_end_of_sequence": True,
        "seed": dice.getrandbits(53),
        "logprobs": True,
        "top_logprobs": 2,
        "max_tokens_per_message": dice.choice([1, 4, 16]),
    }
    return Asked(manifest.name, prompt, options)


async def read(client: Client, asked: Asked) -> Seen:
    """Generate and read to the end. Raises ClientError."""
    text, token_ids, logprobs, pause, last = list[str](), list[int](), list[float](), 0.0, time.monotonic()
    generation = client.generate(asked.model, asked.prompt, **asked.options)
    async for delta in generation:
        now = time.monotonic()
        pause, last = max(pause, now - last), now
        text.append(delta.text)
        token_ids += delta.token_ids
        for scored in delta.logprobs:
            logprobs += (scored.logprob, *(other.logprob for other in scored.alternatives))
    (finished,) = generation.finished
    return Seen(tuple(token_ids), "".join(text), tuple(logprobs), finished.reason, pause)
