"""Values of the engine to messages, and back. Checks nothing: what comes in has been checked.

A request comes with its defaults filled in (`fill_defaults`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from google.protobuf.duration_pb2 import Duration

from bundle.manifest import ViewSpec
from bundle.tokenizer import Tokenizer
from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1 import inspection_pb2, model_pb2
from service.chunk import ScoredToken, Timings
from service.models import ServedModel
from service.request import FinishReason, SamplingParameters, StopConditions
from service.version import State, Version

_STATE_KINDS = {
    "recurrent": model_pb2.STATE_KIND_RECURRENT,
    "cache": model_pb2.STATE_KIND_CACHE,
    "static": model_pb2.STATE_KIND_STATIC,
}
ATTENTIONS = {
    "encoder_self": inspection_pb2.ATTENTION_KIND_ENCODER_SELF,
    "decoder_self": inspection_pb2.ATTENTION_KIND_DECODER_SELF,
    "cross": inspection_pb2.ATTENTION_KIND_CROSS,
}
ACTIVATIONS = {"gate": inspection_pb2.ACTIVATION_KIND_GATE, "state": inspection_pb2.ACTIVATION_KIND_STATE}
PARTS = {"encoder": inspection_pb2.PART_ENCODER, "decoder": inspection_pb2.PART_DECODER}
_STATES = {
    State.READY: model_pb2.MODEL_STATE_READY,
    State.LOADING: model_pb2.MODEL_STATE_LOADING,
    State.UNLOADING: model_pb2.MODEL_STATE_UNLOADING,
    State.FAILED: model_pb2.MODEL_STATE_FAILED,
}


class Ending(TypedDict, total=False):
    """The fields of `Finished` that tell why."""

    reason: str
    stop_string: str
    stop_token_id: int


def ending(reason: FinishReason, match: int | None) -> Ending:
    """Return why a sample ended; `match` is the stop token, if it was one."""
    fields: Ending = {"reason": f"FINISH_REASON_{reason.name}"}
    if match is not None:
        fields["stop_token_id"] = match
    return fields


def reason(ending: Ending) -> str:
    """Return why, as metrics and traces name it: "max_tokens"."""
    return ending["reason"].removeprefix("FINISH_REASON_").lower()


def sampling_parameters(sampling: pb.SamplingParameters) -> SamplingParameters:
    """Return how tokens are drawn."""
    return SamplingParameters(
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        typical_p=sampling.typical_p,
        repetition_penalty=sampling.repetition_penalty,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        logit_bias=tuple(sorted(sampling.logit_bias.items())),
        banned=tuple(sorted(set(sampling.banned_token_ids))),
    )


def stop_conditions(stop: pb.StopConditions, end_of_sequence: int) -> StopConditions:
    """Return when a sample ends, as far as tokens tell."""
    return StopConditions(
        max_new_tokens=stop.max_new_tokens,
        min_new_tokens=stop.min_new_tokens,
        end_of_sequence=None if stop.ignore_end_of_sequence else end_of_sequence,
        stop_tokens=tuple(sorted(set(stop.stop_token_ids))),
    )


def token_logprobs(scores: Iterable[ScoredToken], tokenizer: Tokenizer) -> list[pb.TokenLogprob]:
    """Return the messages of scored tokens."""
    return [
        pb.TokenLogprob(
            token_id=score.token_id,
            logprob=score.logprob,
            alternatives=[
                pb.Alternative(token_id=token_id, logprob=logprob, text=tokenizer.decode([token_id]))
                for token_id, logprob in score.alternatives
            ],
        )
        for score in scores
    ]


def timings(spent: Timings) -> pb.Timings:
    """Return where the time of a sample went."""
    return pb.Timings(
        queue=_duration(spent.queue_seconds),
        prefill=_duration(spent.prefill_seconds),
        decode=_duration(spent.decode_seconds),
    )


def model(served: ServedModel) -> model_pb2.Model:
    """Return what is told of a model."""
    manifest, load, placement = served.manifest, served.engine.load(), served.placement
    message = model_pb2.Model(
        name=manifest.name,
        version=manifest.version,
        family=manifest.family,
        precision=manifest.precision,
        parameters=manifest.training.parameters,
        vocabulary_size=manifest.vocabulary_size,
        source_vocabulary_size=manifest.source_vocabulary_size,
        context_limit=manifest.context_limit,
        source_limit=manifest.source_limit,
        chat=served.chat is not None,
        opens_with_bos=manifest.opens_with_bos,
        state=model_pb2.MODEL_STATE_READY,
        special_tokens=model_pb2.SpecialTokens(**manifest.special_tokens.model_dump()),
        parity=model_pb2.ParityReport(greedy_tokens_compared=manifest.parity.greedy_tokens_compared),
        metrics=manifest.training.metrics,
        placement=model_pb2.Placement(
            device=placement.device,
            execution_providers=placement.execution_providers,
            threads=placement.threads,
        ),
        load=model_pb2.Load(
            rows=load.rows,
            running=load.running,
            waiting=load.waiting,
            queue_limit=load.queue_limit,
            state_bytes_per_row=load.state_bytes_per_row,
        ),
    )
    for spec in manifest.states:
        message.states.add(name=spec.name, kind=_STATE_KINDS[spec.kind], dtype=spec.dtype, shape=spec.shape)
    if manifest.views:
        message.inspection.CopyFrom(_inspection(manifest.views))
    for check in manifest.parity.checks:
        message.parity.checks.add(name=check.name, tolerance=check.tolerance, largest_error=check.largest_error)
    return message


def _inspection(views: Iterable[ViewSpec]) -> inspection_pb2.Inspection:
    """Return what can be seen of a model."""
    message = inspection_pb2.Inspection(precision="fp32")
    for view in views:
        if view.is_attention:
            message.attentions.add(kind=ATTENTIONS[view.kind], layer=view.layer, heads=view.size)
        else:
            message.activations.add(
                name=view.name, kind=ACTIVATIONS[view.kind], part=PARTS[view.part], layer=view.layer, units=view.size
            )
    return message


def version(version: Version) -> model_pb2.Model:
    """Return the message of a version that is not served."""
    return model_pb2.Model(name=version.name, version=version.number, state=_STATES[version.state], error=version.error)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration
