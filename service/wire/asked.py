"""A generation as it was asked for: the request checked, its defaults filled in, its prompt tokenized.

Knows nothing about calls.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from protos.seqstream.v1 import generation_pb2 as pb
from service.models import ServedModel
from service.request import FinishReason, GenerationRequest
from service.wire import convert
from service.wire.calls import Call
from service.wire.checks import (
    Checks,
    check_output,
    check_priority,
    check_samples,
    check_sampling,
    check_stop,
    fill_defaults,
)
from service.wire.convert import Ending
from service.wire.drafts import check_drafts, read_drafts, told
from service.wire.prompt import Prompt, check_room, check_scored, read_prompt
from service.wire.refusals import has_source

# Seeds that are drawn fit into a double, for clients whose language has no other number.
_SEED_BITS = 53


@dataclass(frozen=True, slots=True)
class Asked:
    """wire: the request with its effective values.    generation: the same for the engine."""

    model: ServedModel
    wire: pb.GenerateRequest
    generation: GenerationRequest
    prompt_tokens: int

    @property
    def room(self) -> int:
        """Most tokens that a sample can have."""
        most, limit = self.generation.stop.max_new_tokens, self.model.manifest.context_limit
        return most if limit is None else min(most, limit - len(self.generation.prompt))

    def started(self) -> bytes:
        """Return the first message of the stream, serialised."""
        started = pb.Started(
            request_id=self.generation.request_id,
            model=self.model.reference,
            sampling=self.wire.sampling,
            stop=self.wire.stop,
            seed=self.generation.seed,
            prompt_tokens=self.prompt_tokens,
            drafts=told(self.generation.drafts),
        )
        started.stop.max_new_tokens = self.room
        return pb.GenerateResponse(started=started).SerializeToString()

    def ended(self) -> Ending | None:
        """Return why the sample that is resumed had already ended in tokens, or None if it goes on."""
        stop, resume = self.generation.stop, self.generation.resume
        for token_id in resume:
            if token_id == stop.end_of_sequence:
                return convert.ending(FinishReason.END_OF_SEQUENCE, None)
            if token_id in stop.stop_tokens:
                return convert.ending(FinishReason.STOP_TOKEN, token_id)
        if len(resume) < self.room:
            return None
        full = len(resume) < stop.max_new_tokens
        return convert.ending(FinishReason.CONTEXT_FULL if full else FinishReason.MAX_TOKENS, None)


async def read_asked(
    request: pb.GenerateRequest,
    model: ServedModel,
    most_new_tokens: int,
    call: Call,
    deadline: float | None,
    checks: Checks | None = None,
) -> Asked:
    """Return what `request` asks of `model` in `call`.

    checks: what was found wrong with it before, and how its fields are called.

    Raises:
        Refusal: INVALID_ARGUMENT with every bad field, or FAILED_PRECONDITION.
    """
    fill_defaults(request)
    checks, vocabulary_size = checks or Checks(), model.manifest.vocabulary_size
    check_sampling(checks, request.sampling, vocabulary_size)
    check_stop(checks, request.stop, vocabulary_size, most_new_tokens)
    check_output(checks, request)
    check_samples(checks, request, model.engine.most_samples)
    check_drafts(checks, request, model)
    check_priority(checks, request)
    checks.tokens("resume_token_ids", request.resume_token_ids, vocabulary_size)
    _check_some_token_is_left(checks, request, model)
    prompt = await read_prompt(request, model, checks)
    if prompt is not None:
        check_room(checks, prompt, max(1, len(request.resume_token_ids)), model, request)
        check_scored(checks, prompt, request)
    checks.raise_if_any()
    assert prompt is not None, "an unusable prompt is a violation"
    if request.output.prompt_logprobs and prompt.source is not None:
        raise has_source(model.reference, "output.prompt_logprobs")
    generation = _generation(request, prompt, model, call, deadline)
    return Asked(model, request, generation, prompt.length)


def _generation(
    request: pb.GenerateRequest, prompt: Prompt, model: ServedModel, call: Call, deadline: float | None
) -> GenerationRequest:
    scored = request.output.prompt_logprobs and len(prompt.tokens) > 1
    return GenerationRequest(
        request_id=call.request_id,
        prompt=prompt.tokens,
        stop=convert.stop_conditions(request.stop, model.manifest.special_tokens.eos),
        source=prompt.source,
        sampling=convert.sampling_parameters(request.sampling),
        seed=request.seed if request.HasField("seed") else secrets.randbits(_SEED_BITS),
        samples=request.samples,
        first_sample=request.first_sample,
        resume=tuple(request.resume_token_ids),
        deadline=deadline,
        logprobs=request.output.logprobs,
        top_logprobs=min(request.output.top_logprobs, model.manifest.vocabulary_size),
        scored_from=1 if scored else None,
        drafts=read_drafts(request, model),
        tenant=call.identity.tenant,
        priority=request.priority,
        arrived=call.began,
    )


def _check_some_token_is_left(checks: Checks, request: pb.GenerateRequest, model: ServedModel) -> None:
    never = set(request.sampling.banned_token_ids)
    if request.stop.min_new_tokens:
        never |= {model.manifest.special_tokens.eos, *request.stop.stop_token_ids}
    left = model.manifest.vocabulary_size - len(never)
    checks.require(left > 0, "sampling.banned_token_ids", "every token", "a choice that leaves one to be drawn")
