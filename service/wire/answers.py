"""Messages to the values that a client gets."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.duration_pb2 import Duration

from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1 import model_pb2
from service.answers import Alternative, Delta, Drafts, Finished, Model, Score, Started, TextToken, TokenLogprob


def started(message: pb.Started) -> Started:
    """Return the start of a stream."""
    return Started(
        request_id=message.request_id,
        model=message.model,
        seed=message.seed,
        prompt_tokens=message.prompt_tokens,
        max_new_tokens=message.stop.max_new_tokens,
        drafts=_drafts(message.drafts) if message.HasField("drafts") else None,
    )


def delta(message: pb.TokenDelta) -> Delta:
    """Return new tokens."""
    return Delta(
        message.sample, message.position, tuple(message.token_ids), message.text, token_logprobs(message.logprobs)
    )


def finished(message: pb.Finished) -> Finished:
    """Return the end of a sample."""
    match = message.WhichOneof("match")
    return Finished(
        sample=message.sample,
        reason=pb.FinishReason.Name(message.reason).removeprefix("FINISH_REASON_"),
        match=None if match is None else getattr(message, match),
        prompt_tokens=message.usage.prompt_tokens,
        generated_tokens=message.usage.generated_tokens,
        queue_seconds=_seconds(message.timings.queue),
        prefill_seconds=_seconds(message.timings.prefill),
        decode_seconds=_seconds(message.timings.decode),
        drafted_tokens=message.usage.drafted_tokens,
        accepted_tokens=message.usage.accepted_tokens,
    )


def token_logprobs(messages: Iterable[pb.TokenLogprob]) -> tuple[TokenLogprob, ...]:
    """Return scored tokens."""
    return tuple(
        TokenLogprob(
            message.token_id,
            message.logprob,
            tuple(Alternative(other.token_id, other.logprob, other.text) for other in message.alternatives),
        )
        for message in messages
    )


def score(message: pb.ScoreResponse) -> Score:
    """Return the score of a continuation."""
    return Score(message.model, token_logprobs(message.logprobs), message.total_logprob)


def text_tokens(message: pb.TokenizeResponse) -> list[TextToken]:
    """Return the tokens of a text."""
    return [TextToken(token.id, token.piece, token.start, token.end) for token in message.tokens]


def model(message: model_pb2.Model) -> Model:
    """Return what is told of a model."""
    return Model(
        name=message.name,
        version=message.version,
        family=message.family,
        parameters=message.parameters,
        vocabulary_size=message.vocabulary_size,
        context_limit=message.context_limit if message.HasField("context_limit") else None,
        source_limit=message.source_limit if message.HasField("source_limit") else None,
        device=message.placement.device,
        running=message.load.running,
        waiting=message.load.waiting,
        # Servers that tell no state tell of none but those that are served.
        state=model_pb2.ModelState.Name(message.state or model_pb2.MODEL_STATE_READY).removeprefix("MODEL_STATE_"),
        error=message.error,
        precision=message.precision,
        source_vocabulary_size=message.source_vocabulary_size if message.HasField("source_vocabulary_size") else None,
        rows=message.load.rows,
        chat=message.chat,
        special_token_ids=(message.special_tokens.pad, message.special_tokens.bos, message.special_tokens.eos),
    )


def _drafts(message: pb.DraftOptions) -> Drafts:
    return Drafts(message.prompt_lookup, message.model or None, message.max_tokens)


def _seconds(duration: Duration) -> float:
    return duration.ToNanoseconds() / 1e9
