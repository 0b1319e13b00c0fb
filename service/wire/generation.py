"""GenerationService: requests go to the engine, and what it hands out to the client.

Handlers write to their call instead of yielding: what cancels a call is then raised in the handler itself, wherever
it waits, and is never swallowed.
"""

from __future__ import annotations

from math import fsum

from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceServicer
from service.chunk import Timings
from service.models import Models, ServedModel
from service.request import GenerationRequest, StopConditions
from service.wire import convert
from service.wire.asked import read_asked
from service.wire.calls import Call, Calls
from service.wire.checks import MOST_ALTERNATIVES, Checks, check_priority
from service.wire.context import Context, deadline_of
from service.wire.limits import Bounds
from service.wire.prompt import as_given, check_room, read_continuation, read_prompt, tokenize
from service.wire.reply import Reply
from service.wire.sending import reasons, send

MOST_TOKENIZED_BYTES = 128 << 10
MOST_DETOKENIZED = 65536
_NO_TIME = Timings(0.0, 0.0, 0.0)


class GenerationServicer(GenerationServiceServicer):
    """Generates, scores, tokenizes."""

    def __init__(self, models: Models, calls: Calls, most_new_tokens: int, bounds: Bounds | None = None) -> None:
        """most_new_tokens: that a request may ask for.    bounds: of what waits for a client."""
        self._models = models
        self._bounds = bounds or Bounds()
        self._calls = calls
        self._most_new_tokens = most_new_tokens

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> None:  # noqa: N802
        """Stream the samples of a prompt."""
        deadline = deadline_of(context)
        async with self._calls.enter(context, "Generate") as call:
            model = self._find(request, call)
            model.engine.admit(call.identity.tenant, deadline)  # before anything is tokenized
            asked = await read_asked(request, model, self._most_new_tokens, call, deadline)
            call.prompt_tokens = asked.prompt_tokens
            if call.span is not None:
                operation = "chat" if request.HasField("messages") else "text_completion"
                call.span.ask(asked.generation, operation)
            samples = range(request.first_sample, request.first_sample + request.samples)
            replies = {sample: Reply(sample, model.tokenizer, request, timed=call.traced) for sample in samples}
            first = replies[request.first_sample]
            if (ending := asked.ended()) is not None or first.matched is not None:
                await context.write(asked.started())
                for message in first.end(ending or {}, _NO_TIME, asked.prompt_tokens):
                    await context.write(message)
                call.finishes = reasons(replies.values())
            else:
                await send(asked, replies, context.write, call, self._bounds, (asked.started(),))

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:  # noqa: N802
        """Return the log-probability of a continuation."""
        async with self._calls.enter(context, "Score") as call:
            model = self._find(request, call)
            model.engine.admit(call.identity.tenant, deadline_of(context))
            scoring = await _scoring(request, model, call)
            call.prompt_tokens = scoring.scored_from or 0
            stream = model.engine.submit(scoring)
            try:
                while not (scores := (await stream.receive())[0].prompt_scores):
                    pass
            finally:
                stream.cancel()
                call.timings = stream.timings()
            call.tokens = len(scores)
            return pb.ScoreResponse(
                model=model.reference,
                logprobs=convert.token_logprobs(scores, model.tokenizer),
                total_logprob=fsum(score.logprob for score in scores),
            )

    async def Tokenize(self, request: pb.TokenizeRequest, context: Context) -> pb.TokenizeResponse:  # noqa: N802
        """Return the tokens of a text."""
        async with self._calls.enter(context, "Tokenize") as call:
            model = self._find(request, call)
            checks = Checks()
            checks.text("text", request.text, MOST_TOKENIZED_BYTES)
            _check_vocabulary(checks, request.vocabulary, model)
            checks.raise_if_any()
            target = request.vocabulary == pb.VOCABULARY_TARGET
            tokenizer = model.tokenizer if target else model.prompt_tokenizer
            response = pb.TokenizeResponse()
            for piece in await tokenize(tokenizer.pieces, request.text):
                response.tokens.add(id=piece.token_id, piece=piece.piece, start=piece.start, end=piece.end)
            return response

    async def Detokenize(self, request: pb.DetokenizeRequest, context: Context) -> pb.DetokenizeResponse:  # noqa: N802
        """Return the text of tokens."""
        async with self._calls.enter(context, "Detokenize") as call:
            model = self._find(request, call)
            source = request.vocabulary == pb.VOCABULARY_SOURCE
            size = model.manifest.source_vocabulary_size if source else model.manifest.vocabulary_size
            checks = Checks()
            _check_vocabulary(checks, request.vocabulary, model)
            if checks.count("token_ids", request.token_ids, MOST_DETOKENIZED):
                checks.tokens("token_ids", request.token_ids, size or model.manifest.vocabulary_size)
            checks.raise_if_any()
            tokenizer = model.prompt_tokenizer if source else model.tokenizer
            return pb.DetokenizeResponse(text=tokenizer.decode(request.token_ids))

    def _find(
        self, request: pb.GenerateRequest | pb.ScoreRequest | pb.TokenizeRequest | pb.DetokenizeRequest, call: Call
    ) -> ServedModel:
        model = self._models.find(request.model)
        call.use(model, counts=isinstance(request, pb.GenerateRequest | pb.ScoreRequest))
        if self._calls.log_prompts and isinstance(request, pb.GenerateRequest | pb.ScoreRequest):
            call.prompt = as_given(request)
        return model


async def _scoring(request: pb.ScoreRequest, model: ServedModel, call: Call) -> GenerationRequest:
    """Return the request for the scores of a continuation, which the engine takes as the end of a prompt."""
    checks = Checks()
    checks.between("top_logprobs", request.top_logprobs, 0, MOST_ALTERNATIVES)
    check_priority(checks, request)
    prompt = await read_prompt(request, model, checks)
    continuation = await read_continuation(request, model, checks)
    if prompt is not None:
        check_room(checks, prompt, len(continuation), model, request)
    checks.raise_if_any()
    assert prompt is not None, "an unusable prompt is a violation"
    return GenerationRequest(
        request_id=call.request_id,
        prompt=(*prompt.tokens, *continuation),
        stop=StopConditions(max_new_tokens=0),
        source=prompt.source,
        top_logprobs=min(request.top_logprobs, model.manifest.vocabulary_size),
        scored_from=len(prompt.tokens),
        tenant=call.identity.tenant,
        priority=request.priority,
    )


def _check_vocabulary(checks: Checks, vocabulary: int, model: ServedModel) -> None:
    checks.require(vocabulary in pb.Vocabulary.values(), "vocabulary", vocabulary, "a value of Vocabulary")
    known = vocabulary != pb.VOCABULARY_SOURCE or model.source_tokenizer is not None
    checks.require(known, "vocabulary", "VOCABULARY_SOURCE", f"the target's, as {model.reference} has no source")
