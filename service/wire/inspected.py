"""Inspections as a client asks for them and gets them: requests from values, and values from responses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict, Unpack

import numpy as np

from protos.seqstream.v1 import inspection_pb2 as pb
from service.views import (
    Activation,
    ActivationKind,
    Activations,
    Attention,
    AttentionKind,
    AttentionMap,
    Part,
    Piece,
    Sequences,
)
from service.wire.options import Prompt, put_prompt

KINDS: dict[AttentionKind, pb.AttentionKind] = {
    "encoder_self": pb.ATTENTION_KIND_ENCODER_SELF,
    "decoder_self": pb.ATTENTION_KIND_DECODER_SELF,
    "cross": pb.ATTENTION_KIND_CROSS,
}
_KINDS: dict[int, AttentionKind] = {value: name for name, value in KINDS.items()}
_ACTIVATIONS: dict[int, ActivationKind] = {pb.ACTIVATION_KIND_GATE: "gate", pb.ACTIVATION_KIND_STATE: "state"}
_PARTS: dict[int, Part] = {pb.PART_ENCODER: "encoder", pb.PART_DECODER: "decoder"}

Continuation = str | Sequence[int] | None


class Maps(TypedDict, total=False):
    """Which attention maps; by default all. mean_of_heads: one map for all heads of a layer."""

    kinds: Sequence[AttentionKind]
    layers: Sequence[int]
    heads: Sequence[int]
    mean_of_heads: bool


class Units(TypedDict, total=False):
    """Which activations; by default all. max_units: of each, evenly spaced; by default 64."""

    names: Sequence[str]
    layers: Sequence[int]
    max_units: int


def attend_request(model: str, prompt: Prompt, continuation: Continuation, **options: Unpack[Maps]) -> pb.AttendRequest:
    """Return the request. Raises TypeError for an option, and ValueError for a kind, that there is not."""
    _check_names(options, Maps.__annotations__)
    kinds = options.get("kinds", ())
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise ValueError(f"no kind of attention {unknown[0]!r}; there are {', '.join(KINDS)}")
    request = pb.AttendRequest(
        model=model,
        kinds=[KINDS[kind] for kind in kinds],
        layers=options.get("layers", ()),
        heads=options.get("heads", ()),
        mean_of_heads=options.get("mean_of_heads", False),
    )
    put_prompt(request, prompt)
    _put_continuation(request, continuation)
    return request


def inspect_request(
    model: str, prompt: Prompt, continuation: Continuation, **options: Unpack[Units]
) -> pb.InspectRequest:
    """Return the request. Raises TypeError for an option that there is not."""
    _check_names(options, Units.__annotations__)
    request = pb.InspectRequest(model=model, **options)
    put_prompt(request, prompt)
    _put_continuation(request, continuation)
    return request


def attention(message: pb.AttendResponse) -> Attention:
    """Return attention maps."""
    sequences = _sequences(message.sequences)
    maps = (
        AttentionMap(
            kind=_KINDS[each.kind],
            layer=each.layer,
            head=each.head if each.HasField("head") else None,
            rows=_axis(sequences, each.row_axis),
            columns=_axis(sequences, each.column_axis),
            weights=np.array(each.weights, np.float32).reshape(each.rows, each.columns),
        )
        for each in message.maps
    )
    return Attention(message.model, sequences, tuple(maps))


def activations(message: pb.InspectResponse) -> Activations:
    """Return activations over time."""
    sequences = _sequences(message.sequences)
    found = (
        Activation(
            name=each.name,
            kind=_ACTIVATIONS[each.kind],
            part=_PARTS[each.part],
            layer=each.layer,
            times=_axis(sequences, each.time_axis),
            units=tuple(each.units),
            total_units=each.total_units,
            values=np.array(each.values, np.float32).reshape(each.times, len(each.units)),
        )
        for each in message.activations
    )
    return Activations(message.model, sequences, tuple(found))


def _check_names(options: Iterable[str], known: Iterable[str]) -> None:
    if unknown := set(options) - set(known):
        raise TypeError(f"no option {min(unknown)!r}; there are {', '.join(known)}")


def _put_continuation(request: pb.AttendRequest | pb.InspectRequest, continuation: Continuation) -> None:
    if isinstance(continuation, str):
        request.continuation_text = continuation
    elif continuation is not None:
        request.continuation_token_ids.ids.extend(continuation)


def _sequences(message: pb.Sequences) -> Sequences:
    return Sequences(_pieces(message.source), _pieces(message.read), _pieces(message.written))


def _pieces(messages: Iterable[pb.Piece]) -> tuple[Piece, ...]:
    return tuple(Piece(one.token_id, one.text, one.symbol, one.start, one.end, one.special) for one in messages)


def _axis(sequences: Sequences, axis: int) -> tuple[Piece, ...]:
    lists: dict[int, tuple[Piece, ...]] = {
        pb.AXIS_SOURCE: sequences.source,
        pb.AXIS_READ: sequences.read,
        pb.AXIS_WRITTEN: sequences.written,
    }
    return lists[axis]
