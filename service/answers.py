"""What a client gets: values only, named as in the .proto files, whose comments say what they mean.

Knows nothing about gRPC.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token that could have been drawn."""

    token_id: int
    logprob: float
    text: str


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token, its natural-logarithm probability, and the likeliest tokens at its place."""

    token_id: int
    logprob: float
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class Drafts:
    """What proposes tokens ahead: a lookup in what was there before, a model ("name@version"), or both."""

    prompt_lookup: bool
    model: str | None
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Started:
    """The request as the server took it: model is "name@version", seed the one in use.

    drafts: what proposes tokens; without, the same request has the same tokens everywhere, to the bit.
    """

    request_id: str
    model: str
    seed: int
    prompt_tokens: int
    max_new_tokens: int
    drafts: Drafts | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """More of one sample. `token_ids` is empty where only held-back text is released, at the end."""

    sample: int
    position: int
    token_ids: tuple[int, ...]
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """How one sample ended.

    reason: "END_OF_SEQUENCE", "STOP_STRING", "STOP_TOKEN", "MAX_TOKENS", "CONTEXT_FULL" or "DEADLINE".
    match: the stop string or stop token, if it was one.
    queue_seconds, prefill_seconds, decode_seconds: of the stream that ended it, if it was resumed.
    drafted_tokens, accepted_tokens: proposed to it, and taken, in that stream.
    """

    sample: int
    reason: str
    match: str | int | None
    prompt_tokens: int
    generated_tokens: int
    queue_seconds: float
    prefill_seconds: float
    decode_seconds: float
    drafted_tokens: int = 0
    accepted_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample in whole."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...]
    finished: Finished


@dataclass(frozen=True, slots=True)
class Result:
    """All samples of a prompt, in order. prompt_logprobs: if they were asked for."""

    started: Started
    samples: tuple[Sample, ...]
    prompt_logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """Log-probabilities of a continuation, and their sum."""

    model: str
    logprobs: tuple[TokenLogprob, ...]
    total_logprob: float


@dataclass(frozen=True, slots=True)
class TextToken:
    """A token of a text, `text[start:end]` in code points."""

    id: int
    piece: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Model:
    """A model as it is served, for the most part. None: no limit, or no source.

    state: "READY", or "LOADING", "UNLOADING" or "FAILED": then only name, version and error tell something.
    error: why it could not be loaded.
    rows: sequences that can run at once.  special_token_ids: in the vocabulary that it writes: padding, begin, end.
    """

    name: str
    version: int
    family: str
    parameters: int
    vocabulary_size: int
    context_limit: int | None
    source_limit: int | None
    device: str
    running: int
    waiting: int
    state: str = "READY"
    error: str = ""
    precision: str = ""
    source_vocabulary_size: int | None = None
    rows: int = 0
    chat: bool = False
    special_token_ids: tuple[int, ...] = ()

    @property
    def reference(self) -> str:
        """What names this version."""
        return f"{self.name}@{self.version}"
