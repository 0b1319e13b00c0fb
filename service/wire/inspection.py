"""InspectionService: attention maps and activations of a given sequence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bundle.inspector import Inspector
from bundle.manifest import ViewSpec
from bundle.tokenizer import Tokenizer
from protos.seqstream.v1 import inspection_pb2 as pb
from protos.seqstream.v1.inspection_pb2_grpc import InspectionServiceServicer
from service.inspection import Floats, InspectionBusy, Inspections, Reading, evenly
from service.models import Models, ServedModel
from service.pieces import text_pieces
from service.wire import refusals
from service.wire.calls import Call, Calls
from service.wire.checks import Checks
from service.wire.context import Context
from service.wire.convert import ACTIVATIONS, ATTENTIONS, PARTS
from service.wire.floats import with_floats
from service.wire.looking import USUAL_UNITS, check_size, choose_activations, choose_maps, read_sequences
from service.wire.prompt import as_given

# By the kind of an attention: what its rows and its columns stand for.
_AXES = {
    "encoder_self": (pb.AXIS_SOURCE, pb.AXIS_SOURCE),
    "decoder_self": (pb.AXIS_READ, pb.AXIS_READ),
    "cross": (pb.AXIS_WRITTEN, pb.AXIS_SOURCE),
}


class InspectionServicer(InspectionServiceServicer):
    """Shows what models attend to and what they keep."""

    def __init__(self, models: Models, calls: Calls) -> None:
        self._models = models
        self._calls = calls
        self._inspections = Inspections()

    async def Attend(self, request: pb.AttendRequest, context: Context) -> pb.AttendResponse:  # noqa: N802
        """Return attention maps."""
        async with self._calls.enter(context, "Attend") as call:
            model, inspector = self._find(request, call)
            checks = Checks()
            views = choose_maps(request, model, checks)
            reading = await read_sequences(request, model, checks)
            if reading is not None:
                maps = [(1 if request.mean_of_heads else len(_heads(request, view)), view) for view in views]
                values = sum(count * reading.shape(view)[0] * reading.shape(view)[1] for count, view in maps)
                check_size(checks, values, "fewer layers or heads, mean_of_heads, or a shorter text")
            checks.raise_if_any()
            assert reading is not None, "an unusable prompt is a violation"
            found = await self._look(call, inspector, reading, views)
            # Means of many heads, and the texts of many tokens, would hold up the event loop.
            return await asyncio.to_thread(_attended, request, model, reading, list(zip(views, found, strict=True)))

    async def Inspect(self, request: pb.InspectRequest, context: Context) -> pb.InspectResponse:  # noqa: N802
        """Return activations over time."""
        async with self._calls.enter(context, "Inspect") as call:
            model, inspector = self._find(request, call)
            checks = Checks()
            views = choose_activations(request, model, checks)
            reading = await read_sequences(request, model, checks)
            most = request.max_units if request.HasField("max_units") else USUAL_UNITS
            if reading is not None:
                values = sum(reading.times(view.part) * min(most, view.size) for view in views)
                check_size(checks, values, "fewer names, layers or max_units, or a shorter text")
            checks.raise_if_any()
            assert reading is not None, "an unusable prompt is a violation"
            found = await self._look(call, inspector, reading, views)
            return await asyncio.to_thread(_inspected, most, model, reading, list(zip(views, found, strict=True)))

    def _find(self, request: pb.AttendRequest | pb.InspectRequest, call: Call) -> tuple[ServedModel, Inspector]:
        """Return the model, and what looks into it. Raises UnknownModelError, Refusal."""
        model = self._models.find(request.model)
        call.use(model)
        if self._calls.log_prompts:
            call.prompt = as_given(request)
        if model.inspector is None:
            raise refusals.not_inspectable(model.reference)
        return model, model.inspector

    async def _look(
        self, call: Call, inspector: Inspector, reading: Reading, views: Sequence[ViewSpec]
    ) -> list[Floats]:
        call.prompt_tokens = len(reading.source or ()) + len(reading.read)
        try:
            return await self._inspections.look(inspector, reading, views)
        except InspectionBusy as error:
            raise refusals.inspection_busy(str(error)) from None


def _attended(
    request: pb.AttendRequest, model: ServedModel, reading: Reading, found: Sequence[tuple[ViewSpec, Floats]]
) -> pb.AttendResponse:
    maps = (one for view, weights in found for one in _maps(request, view, weights))
    return pb.AttendResponse(model=model.reference, sequences=_sequences(reading, model), maps=maps)


def _inspected(
    most: int, model: ServedModel, reading: Reading, found: Sequence[tuple[ViewSpec, Floats]]
) -> pb.InspectResponse:
    activations = (_activation(view, values, most) for view, values in found)
    return pb.InspectResponse(model=model.reference, sequences=_sequences(reading, model), activations=activations)


def _heads(request: pb.AttendRequest, view: ViewSpec) -> list[int]:
    """Return the heads that are shown, ascending."""
    return sorted({head for head in request.heads if head < view.size}) if request.heads else list(range(view.size))


def _maps(request: pb.AttendRequest, view: ViewSpec, weights: Floats) -> list[pb.AttentionMap]:
    heads = _heads(request, view)
    if request.mean_of_heads and heads:
        return [_map(view, weights[heads].mean(axis=0), None)]
    return [_map(view, weights[head], head) for head in heads]


def _map(view: ViewSpec, weights: Floats, head: int | None) -> pb.AttentionMap:
    row_axis, column_axis = _AXES[view.kind]
    rows, columns = weights.shape
    message = pb.AttentionMap(
        kind=ATTENTIONS[view.kind], layer=view.layer, head=head, row_axis=row_axis, column_axis=column_axis, rows=rows,
        columns=columns,
    )  # fmt: skip
    return with_floats(message, "weights", weights)


def _activation(view: ViewSpec, values: Floats, most: int) -> pb.Activation:
    units = evenly(view.size, most)
    message = pb.Activation(
        name=view.name,
        kind=ACTIVATIONS[view.kind],
        part=PARTS[view.part],
        layer=view.layer,
        time_axis=pb.AXIS_SOURCE if view.part == "encoder" else pb.AXIS_READ,
        times=len(values),
        units=units.tolist(),
        total_units=view.size,
    )
    return with_floats(message, "values", values[:, units])


def _sequences(reading: Reading, model: ServedModel) -> pb.Sequences:
    source = () if reading.source is None else _pieces(model.prompt_tokenizer, reading.source)
    return pb.Sequences(
        source=source, read=_pieces(model.tokenizer, reading.read), written=_pieces(model.tokenizer, reading.written)
    )


def _pieces(tokenizer: Tokenizer, token_ids: Sequence[int]) -> list[pb.Piece]:
    return [
        pb.Piece(
            token_id=piece.token_id,
            text=piece.text,
            symbol=piece.symbol,
            start=piece.start,
            end=piece.end,
            special=piece.special,
        )
        for piece in text_pieces(tokenizer, token_ids)
    ]
