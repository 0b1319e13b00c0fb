"""What a client asks of the engine, in token ids: values only, validated before they come here.

Knows nothing about gRPC, text or ONNX Runtime.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

# Most tokens proposed to a sample at once.
MOST_PROPOSED = 16


class FinishReason(enum.Enum):
    """Why a sample ended. Stop strings are matched in text, outside of the engine, and are not among these."""

    END_OF_SEQUENCE = enum.auto()
    STOP_TOKEN = enum.auto()
    MAX_TOKENS = enum.auto()
    CONTEXT_FULL = enum.auto()
    DEADLINE = enum.auto()


@dataclass(frozen=True, slots=True)
class SamplingParameters:
    """How the next token is drawn. Filters apply in the order of the fields; the defaults change nothing.

    temperature: divides the logits; 0 takes the likeliest token.
    top_k: keep the k likeliest, 0 keeps all.           top_p: nucleus (Holtzman et al. 2020), 1 keeps all.
    min_p: keep p >= min_p * p_max.                      typical_p: Meister et al. 2023, 1 keeps all.
    repetition_penalty: Keskar et al. 2019, over prompt and sample.
    presence_penalty, frequency_penalty: subtracted once, and once per occurrence, over the sample.
    logit_bias: added before anything else.              banned: never drawn.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    banned: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StopConditions:
    """When a sample ends, in tokens. `end_of_sequence` is None where it is to be treated as any other token."""

    max_new_tokens: int
    min_new_tokens: int = 0
    end_of_sequence: int | None = None
    stop_tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Drafts:
    """What proposes tokens, several at a time, for the model to verify in one step.

    prompt_lookup: what followed the last tokens where they stood before.    model: a smaller model's "name@version".
    most: tokens proposed at once, 1 to MOST_PROPOSED.
    """

    prompt_lookup: bool = False
    model: str | None = None
    most: int = MOST_PROPOSED


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One request: `samples` sequences drawn from one prompt.

    source: ids for the start graph, or None.             prompt: ids consumed by the step graph, at least one.
    seed: 64-bit key of the random numbers, with (sample, position).
    resume: tokens of the sample already delivered: replayed, never emitted (only with samples == 1).
    deadline: `time.monotonic()` at which the samples end with what they have, or None.
    logprobs: report the log-probability of generated tokens, with `top_logprobs` alternatives.
    scored_from: report log-probabilities of prompt[scored_from:] (>= 1), or None.
    drafts: what may propose tokens, or None: only streams without them have the same bits everywhere.
    stop.max_new_tokens == 0 asks for scores alone.
    arrived: `time.monotonic()` at which it came to the server, or None: when it came to the engine.
    tenant: for whom it is; tenants share tokens evenly.    priority: the higher goes first, among those of a tenant.
    """

    request_id: str
    prompt: tuple[int, ...]
    stop: StopConditions
    source: tuple[int, ...] | None = None
    sampling: SamplingParameters = field(default_factory=SamplingParameters)
    seed: int = 0
    samples: int = 1
    first_sample: int = 0
    resume: tuple[int, ...] = ()
    deadline: float | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    scored_from: int | None = None
    drafts: Drafts | None = None
    tenant: str = ""
    priority: int = 0
    arrived: float | None = None

    @property
    def prompt_tokens(self) -> int:
        """Tokens that are consumed before the first is drawn: the prompt's and the source's."""
        return len(self.prompt) + len(self.source or ())
