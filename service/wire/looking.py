"""What an inspection asks for, checked: the sequences that are read, and the views that are shown. Runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bundle.manifest import ViewSpec
from protos.seqstream.v1 import inspection_pb2 as pb
from service.inspection import MOST_TOKENS, MOST_VALUES, Reading
from service.models import ServedModel
from service.wire.checks import Checks
from service.wire.convert import ATTENTIONS
from service.wire.prompt import prompt_field, read_continuation, read_prompt
from service.wire.refusals import nothing_to_show

Request = pb.AttendRequest | pb.InspectRequest

MOST_KINDS = 16
MOST_CHOSEN = 1024
MOST_NAMES = 64
MOST_UNITS = 4096
USUAL_UNITS = 64


async def read_sequences(request: Request, model: ServedModel, checks: Checks) -> Reading | None:
    """Return what is read, or None where it is not usable, which `checks` then knows."""
    prompt = await read_prompt(request, model, checks)
    has_source = model.source_tokenizer is not None
    continuation = await read_continuation(request, model, checks, int(has_source), MOST_TOKENS)
    if prompt is None or (has_source and not continuation):
        return None
    reading = Reading.of(prompt.source, prompt.tokens, continuation)
    field, limit = prompt_field(request), model.manifest.context_limit or MOST_TOKENS
    source, read = len(reading.source or ()), len(reading.read)
    checks.require(source <= MOST_TOKENS, field, f"{source} tokens", f"at most {MOST_TOKENS} can be inspected")
    if has_source:
        field = "continuation"
    if read > MOST_TOKENS or limit >= MOST_TOKENS:
        checks.require(read <= MOST_TOKENS, field, f"{read} tokens in all", f"at most {MOST_TOKENS} can be inspected")
    else:
        checks.require(read <= limit, field, f"{read} tokens in all", f"at most {limit}, the model's context")
    return reading


def choose_maps(request: pb.AttendRequest, model: ServedModel, checks: Checks) -> list[ViewSpec]:
    """Return the attentions that are asked for. Raises Refusal where the model has none."""
    there = [view for view in model.manifest.views if view.is_attention]
    if not there:
        raise nothing_to_show(model.reference, "NO_ATTENTION", "has no attention; Inspect shows its activations")
    known = {ATTENTIONS[view.kind] for view in there}
    if checks.count("kinds", request.kinds, MOST_KINDS):
        for place, kind in enumerate(request.kinds):
            allowed = ", ".join(pb.AttentionKind.Name(one) for one in sorted(known))
            checks.require(kind in known, f"kinds[{place}]", _kind_name(kind), allowed)
    chosen = [view for view in there if not request.kinds or ATTENTIONS[view.kind] in request.kinds]
    chosen = _of_layers(request.layers, chosen, checks)
    heads = max((view.size for view in chosen), default=1)
    _check_below("heads", request.heads, heads, checks)
    return chosen


def choose_activations(request: pb.InspectRequest, model: ServedModel, checks: Checks) -> list[ViewSpec]:
    """Return the activations that are asked for. Raises Refusal where the model has none."""
    there = [view for view in model.manifest.views if not view.is_attention]
    if not there:
        raise nothing_to_show(model.reference, "NO_ACTIVATIONS", "shows no activations; Attend shows its attention")
    known = dict.fromkeys(view.name for view in there)
    if checks.count("names", request.names, MOST_NAMES):
        for place, name in enumerate(request.names):
            checks.require(name in known, f"names[{place}]", repr(name[:MOST_NAMES]), ", ".join(known))
    if request.HasField("max_units"):
        checks.between("max_units", request.max_units, 1, MOST_UNITS)
    chosen = [view for view in there if not request.names or view.name in request.names]
    return _of_layers(request.layers, chosen, checks)


def check_size(checks: Checks, values: int, advice: str) -> None:
    """Require that a response is not too long."""
    checks.require(values <= MOST_VALUES, "layers", f"such that {values} numbers answer", f"{MOST_VALUES}: {advice}")


def _of_layers(layers: Sequence[int], views: Iterable[ViewSpec], checks: Checks) -> list[ViewSpec]:
    found = list(views)
    _check_below("layers", layers, 1 + max((view.layer for view in found), default=0), checks)
    return [view for view in found if not layers or view.layer in layers]


def _check_below(field: str, chosen: Sequence[int], count: int, checks: Checks) -> None:
    if checks.count(field, chosen, MOST_CHOSEN):
        for place, one in enumerate(chosen):
            checks.require(one < count, f"{field}[{place}]", one, f"0 to {count - 1}")


def _kind_name(kind: int) -> str:
    return pb.AttentionKind.Name(kind) if kind in pb.AttentionKind.values() else str(kind)
