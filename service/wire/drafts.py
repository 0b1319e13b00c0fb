"""Drafts on the wire: what a request asks for, what the server has by default, and what is told of them.

Knows nothing about calls.
"""

from __future__ import annotations

from protos.seqstream.v1 import generation_pb2 as pb
from service.models import ServedModel
from service.request import MOST_PROPOSED, Drafts
from service.wire.checks import Checks
from service.wire.refusals import never_rewinds


def check_drafts(checks: Checks, request: pb.GenerateRequest, model: ServedModel) -> None:
    """Check who is to propose, and how much. The request has its defaults filled in."""
    if not request.HasField("drafts"):
        return
    drafts, known = request.drafts, sorted(model.drafters)
    checks.between("drafts.max_tokens", drafts.max_tokens, 1, MOST_PROPOSED)
    allowed = "a model with the same tokenizer and no source: " + (", ".join(known) or "there is none")
    checks.require(not drafts.model or drafts.model in known, "drafts.model", repr(drafts.model), allowed)


def read_drafts(request: pb.GenerateRequest, model: ServedModel) -> Drafts | None:
    """Return what is to propose tokens, by the request, which has been checked, or else by default.

    Raises:
        Refusal: FAILED_PRECONDITION, if the model cannot verify what is proposed.
    """
    if not request.HasField("drafts"):
        return model.drafts
    asked = request.drafts
    if not (asked.prompt_lookup or asked.model):
        return None
    if not model.manifest.rewinds:
        raise never_rewinds(model.reference, "drafts")
    return Drafts(asked.prompt_lookup, model.drafters[asked.model] if asked.model else None, asked.max_tokens)


def told(drafts: Drafts | None) -> pb.DraftOptions | None:
    """Return the message of what proposes."""
    if drafts is None:
        return None
    return pb.DraftOptions(prompt_lookup=drafts.prompt_lookup, model=drafts.model or "", max_tokens=drafts.most)
