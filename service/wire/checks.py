"""Checking the fields of a request against their limits: every bad one is found, not the first alone.

The limits are those that the .proto files tell. Knows nothing about gRPC or models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protos.seqstream.v1 import generation_pb2 as pb
from service.request import MOST_PROPOSED
from service.wire.refusals import Violation, invalid

MOST_SAMPLES = 16
MOST_STOPS = 16
LONGEST_STOP_BYTES = 256
MOST_BIASES = 1024
MOST_BANNED = 1024
MOST_ALTERNATIVES = 20
MOST_TOKENS_PER_MESSAGE = 1024
MOST_PROMPT_BYTES = 1 << 20
MOST_PRIORITY = 10


class Checks:
    """Collects the violations of one request."""

    def __init__(self, named: Callable[[str], str] = str) -> None:
        """named: returns what the client calls a field, where that is not its path in the messages of seqstream.v1."""
        self._named = named
        self._found: list[Violation] = []

    def require(self, holds: bool, field: str, given: object, allowed: str) -> bool:
        """Note that `field` is `given` where only `allowed` is, unless it `holds`. Returns `holds`."""
        if not holds:
            self._found.append(Violation(self._named(field), f"is {_show(given)}; allowed: {allowed}"))
        return holds

    def between(self, field: str, value: float, low: float, high: float) -> None:
        """Require low <= value <= high, which no NaN does."""
        self.require(low <= value <= high, field, value, f"{low:g} to {high:g}")

    def over(self, field: str, value: float, low: float, high: float) -> None:
        """Require low < value <= high, which no NaN does."""
        self.require(low < value <= high, field, value, f"over {low:g} to {high:g}")

    def count(self, field: str, values: Sequence[object], most: int) -> bool:
        """Require at most so many values."""
        return self.require(len(values) <= most, field, f"{len(values)} entries", f"at most {most}")

    def tokens(self, field: str, token_ids: Sequence[int], vocabulary_size: int) -> bool:
        """Require ids of the vocabulary; the first that is not is told."""
        if not token_ids or max(token_ids) < vocabulary_size:
            return True
        place = next(n for n, token_id in enumerate(token_ids) if token_id >= vocabulary_size)
        return self.require(False, f"{field}[{place}]", token_ids[place], f"0 to {vocabulary_size - 1}, the vocabulary")

    def text(self, field: str, text: str, most_bytes: int) -> bool:
        """Require at most so many bytes of UTF-8."""
        size = len(text) if len(text) > most_bytes else len(text.encode())
        return self.require(size <= most_bytes, field, f"{size} bytes long", f"at most {most_bytes}")

    def raise_if_any(self) -> None:
        """Raise the Refusal INVALID_ARGUMENT if anything was found."""
        if self._found:
            raise invalid(self._found)


def fill_defaults(request: pb.GenerateRequest) -> None:
    """Set every optional field that is absent to its default, except the seed."""
    for message, values in (
        (request, {"samples": 1}),
        (request.sampling, {"temperature": 1.0, "top_p": 1.0, "typical_p": 1.0, "repetition_penalty": 1.0}),
        (request.stop, {"max_new_tokens": 256}),
        (request.output, {"max_tokens_per_message": 64}),
    ):
        for field, value in values.items():
            if not message.HasField(field):
                setattr(message, field, value)
    if request.HasField("drafts") and not request.drafts.HasField("max_tokens"):
        request.drafts.max_tokens = MOST_PROPOSED


def check_sampling(checks: Checks, sampling: pb.SamplingParameters, vocabulary_size: int) -> None:
    """Check how tokens are drawn."""
    checks.between("sampling.temperature", sampling.temperature, 0, 100)
    checks.over("sampling.top_p", sampling.top_p, 0, 1)
    checks.between("sampling.min_p", sampling.min_p, 0, 1)
    checks.over("sampling.typical_p", sampling.typical_p, 0, 1)
    checks.over("sampling.repetition_penalty", sampling.repetition_penalty, 0, 100)
    checks.between("sampling.presence_penalty", sampling.presence_penalty, -100, 100)
    checks.between("sampling.frequency_penalty", sampling.frequency_penalty, -100, 100)
    if checks.count("sampling.logit_bias", list(sampling.logit_bias), MOST_BIASES):
        for token_id, bias in sampling.logit_bias.items():
            field = f"sampling.logit_bias[{token_id}]"
            checks.between(field, bias, -100, 100)
            in_vocabulary = token_id < vocabulary_size
            checks.require(in_vocabulary, field, "for no token", f"0 to {vocabulary_size - 1}, the vocabulary")
    if checks.count("sampling.banned_token_ids", sampling.banned_token_ids, MOST_BANNED):
        checks.tokens("sampling.banned_token_ids", sampling.banned_token_ids, vocabulary_size)


def check_stop(checks: Checks, stop: pb.StopConditions, vocabulary_size: int, most_new_tokens: int) -> None:
    """Check when samples end."""
    checks.between("stop.max_new_tokens", stop.max_new_tokens, 1, most_new_tokens)
    fewest, most = stop.min_new_tokens, stop.max_new_tokens
    checks.require(fewest <= most, "stop.min_new_tokens", fewest, f"at most stop.max_new_tokens, {most}")
    if checks.count("stop.stop_strings", stop.stop_strings, MOST_STOPS):
        for place, stop_string in enumerate(stop.stop_strings):
            size = len(stop_string.encode())
            allowed = f"1 to {LONGEST_STOP_BYTES}"
            checks.require(
                1 <= size <= LONGEST_STOP_BYTES, f"stop.stop_strings[{place}]", f"{size} bytes long", allowed
            )
    if checks.count("stop.stop_token_ids", stop.stop_token_ids, MOST_STOPS):
        checks.tokens("stop.stop_token_ids", stop.stop_token_ids, vocabulary_size)


def check_output(checks: Checks, request: pb.GenerateRequest) -> None:
    """Check what is reported."""
    output = request.output
    checks.between("output.top_logprobs", output.top_logprobs, 0, MOST_ALTERNATIVES)
    asked = output.logprobs or output.prompt_logprobs or not output.top_logprobs
    checks.require(asked, "output.top_logprobs", output.top_logprobs, "0 without logprobs or prompt_logprobs")
    checks.between("output.max_tokens_per_message", output.max_tokens_per_message, 1, MOST_TOKENS_PER_MESSAGE)
    has_text = not output.omit_text or not request.stop.stop_strings
    checks.require(has_text, "output.omit_text", "true", "false, with stop.stop_strings")


def check_samples(checks: Checks, request: pb.GenerateRequest, most: int) -> None:
    """Check how many samples are drawn and whether one is resumed."""
    checks.between("samples", request.samples, 1, min(MOST_SAMPLES, most))
    last = request.first_sample + request.samples - 1
    checks.require(last < 1 << 32, "first_sample", request.first_sample, "the last sample below 4294967296")
    resumed = len(request.resume_token_ids)
    tokens = request.stop.max_new_tokens
    checks.require(
        resumed <= tokens, "resume_token_ids", f"{resumed} entries", f"at most stop.max_new_tokens, {tokens}"
    )
    single = request.samples == 1 or not resumed
    checks.require(single, "resume_token_ids", f"{resumed} entries", "none with samples other than 1")


def check_priority(checks: Checks, request: pb.GenerateRequest | pb.ScoreRequest) -> None:
    """Check how urgent it is."""
    checks.between("priority", request.priority, -MOST_PRIORITY, MOST_PRIORITY)


def _show(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
