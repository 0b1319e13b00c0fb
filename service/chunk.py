"""What a stream hands to its receiver: values only. Knows token ids, no text."""

from __future__ import annotations

from dataclasses import dataclass

from service.request import FinishReason


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A token, its natural-logarithm probability, and the likeliest tokens at its place, likeliest first."""

    token_id: int
    logprob: float
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of a sample went, in seconds: until the first step, until the first token, until now."""

    queue_seconds: float
    prefill_seconds: float
    decode_seconds: float

    @property
    def first_token_seconds(self) -> float:
        return self.queue_seconds + self.prefill_seconds


@dataclass(frozen=True, slots=True)
class Finish:
    """How a sample ended.

    generated_tokens: all of the sample, replayed ones included.
    match: the stop token that was drawn, for STOP_TOKEN.
    """

    reason: FinishReason
    generated_tokens: int
    queue_seconds: float
    prefill_seconds: float
    decode_seconds: float
    match: int | None = None


@dataclass(slots=True)  # not frozen: one is made for every token, and that takes a third of the time
class Chunk:
    """What is new of one sample.

    position: index in the generated sequence of `token_ids[0]`; replayed tokens count, and are never among them.
    logprobs: one for every token of `token_ids`, if the request asked for them.
    prompt_scores: in the first chunk of the first sample, if the request asked for them.
    finish: in the last chunk of the sample.
    """

    sample: int
    position: int
    token_ids: list[int]
    logprobs: list[ScoredToken] | None = None
    prompt_scores: list[ScoredToken] | None = None
    finish: Finish | None = None
