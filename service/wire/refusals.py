"""Errors as a client sees them: a gRPC status and google.rpc details. Which is which is told in generation.proto.

Details travel in the trailing metadata, of which a client takes 8 KiB: whatever a request can make long is cut here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from service.errors import EngineError, EngineFailed, QueueFull, TenantFull, TooLate
from service.models import UnknownModelError
from service.version import BadVersionError, ChangeError, LastModelError
from service.wire.context import Context, Metadata

DOMAIN = "seqstream"
SLOW_CONSUMER = "SLOW_CONSUMER"
RETRY_ELSEWHERE_SECONDS = 1.0
# Of violations: in number, and in bytes together.
_MOST_VIOLATIONS, _MOST_BYTES = 16, 3000
# In bytes of UTF-8: names of fields, of which some are the client's, other texts, lists.
_LONGEST_FIELD = 100
_LONGEST_TEXT = 200
_LONGEST_LIST = 1000


class Refusal(Exception):  # noqa: N818 (most are no fault of the server's)
    """Ends a call with `code`, a `message` for people, and `details` for programs.

    request_id: of the call that it has ended.
    """

    def __init__(self, code: grpc.StatusCode, message: str, *details: Message) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.request_id = ""

    @property
    def reason(self) -> str:
        """Why, in one word of this program's: of its ErrorInfo, or the name of its status."""
        return next((info.reason for info in self.details if isinstance(info, ErrorInfo)), self.code.name)


@dataclass(frozen=True, slots=True)
class Violation:
    """One bad field: its path in the request, such as "sampling.top_p", and its value with what is allowed."""

    field: str
    description: str


def invalid(violations: Sequence[Violation]) -> Refusal:
    """INVALID_ARGUMENT: every bad field at once, as long as they fit."""
    bad = details.BadRequest()
    for violation in violations[:_MOST_VIOLATIONS]:
        bad.field_violations.add(
            field=_cut(violation.field, _LONGEST_FIELD), description=_cut(violation.description, _LONGEST_TEXT)
        )
        if bad.ByteSize() > _MOST_BYTES:
            break
    shown = bad.field_violations
    message = f"{shown[0].field} {shown[0].description}"
    if len(violations) > 1:
        message += f" (and {len(violations) - 1} more)"
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, message, bad)


def has_source(reference: str, field: str) -> Refusal:
    """FAILED_PRECONDITION: `field` asks for what a model with a source cannot do."""
    info = ErrorInfo(reason="MODEL_HAS_SOURCE", domain=DOMAIN, metadata={"model": reference, "field": field})
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        f"{field}: {reference} reads its prompt by an encoder, which gives tokens no probability",
        info,
    )


def never_rewinds(reference: str, field: str) -> Refusal:
    """FAILED_PRECONDITION: `field` asks for drafts of a model whose rows cannot forget tokens."""
    info = ErrorInfo(reason="MODEL_NEVER_REWINDS", domain=DOMAIN, metadata={"model": reference, "field": field})
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        f"{field}: {reference} has a state that cannot go back behind tokens that turn out wrong",
        info,
    )


def unauthenticated(reason: str, message: str) -> Refusal:
    """UNAUTHENTICATED: nothing tells who calls, or nothing valid. The message never quotes a credential."""
    return Refusal(grpc.StatusCode.UNAUTHENTICATED, message, ErrorInfo(reason=reason, domain=DOMAIN))


def denied(reason: str, message: str, **metadata: str) -> Refusal:
    """PERMISSION_DENIED: who calls may not do this."""
    shown = {key: _cut(value, _LONGEST_TEXT) for key, value in metadata.items()}
    info = ErrorInfo(reason=reason, domain=DOMAIN, metadata=shown)
    return Refusal(grpc.StatusCode.PERMISSION_DENIED, message, info)


def draining() -> Refusal:
    """UNAVAILABLE: the server is about to stop; another replica may go on."""
    info = ErrorInfo(reason="DRAINING", domain=DOMAIN)
    message = "the server is shutting down"
    return Refusal(grpc.StatusCode.UNAVAILABLE, message, info, _retry(RETRY_ELSEWHERE_SECONDS))


def internal() -> Refusal:
    """INTERNAL: a fault of the server's, told in its log only."""
    return Refusal(grpc.StatusCode.INTERNAL, "internal error", ErrorInfo(reason="INTERNAL", domain=DOMAIN))


def from_engine(error: EngineError) -> Refusal:
    """RESOURCE_EXHAUSTED where there is no room, INTERNAL for a step that failed, UNAVAILABLE for a stopped engine."""
    if isinstance(error, QueueFull):
        limit = {"limit": str(error.limit)}
        return _exhausted("QUEUE_FULL", f"the queue is full: {error}", "queue", error.retry_after_seconds, limit)
    if isinstance(error, TooLate):
        seconds = {"wait_seconds": f"{error.wait_seconds:.3f}", "left_seconds": f"{error.left_seconds:.3f}"}
        message = f"the deadline is too near: {error}"
        return _exhausted("DEADLINE_TOO_NEAR", message, "queue", error.retry_after_seconds, seconds)
    if isinstance(error, TenantFull):
        limit = {"tenant": error.tenant, "limit": str(error.limit)}
        return _exhausted("TENANT_FULL", str(error), f"tenant:{error.tenant}", RETRY_ELSEWHERE_SECONDS, limit)
    if isinstance(error, EngineFailed):
        info = ErrorInfo(reason="MODEL_FAILED", domain=DOMAIN)
        return Refusal(grpc.StatusCode.INTERNAL, "a step of the model failed", info)
    return draining()


def _exhausted(reason: str, message: str, subject: str, seconds: float, metadata: dict[str, str]) -> Refusal:
    info = ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)
    violation = details.QuotaFailure.Violation(subject=subject, description=message)
    quota = details.QuotaFailure(violations=[violation])
    return Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, message, info, quota, _retry(seconds))


def slow_consumer(message: str, tokens: int, seconds: float) -> Refusal:
    """RESOURCE_EXHAUSTED: the client does not read what it asked for."""
    limits = {"tokens": str(tokens), "seconds": f"{seconds:g}"}
    info = ErrorInfo(reason=SLOW_CONSUMER, domain=DOMAIN, metadata=limits)
    return Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, message, info)


def not_found(error: UnknownModelError) -> Refusal:
    """NOT_FOUND: the models that there are, in the message and in the details."""
    known = _cut(", ".join(error.known), _LONGEST_LIST)
    asked = _cut(error.reference, _LONGEST_TEXT)
    info = ErrorInfo(reason="MODEL_NOT_FOUND", domain=DOMAIN, metadata={"model": asked, "models": known})
    return Refusal(grpc.StatusCode.NOT_FOUND, f"no model {asked!r}; there are: {known}", info)


def from_change(error: ChangeError) -> Refusal:
    """FAILED_PRECONDITION: a version cannot be served, or go, or come back before it has gone."""
    metadata, more = {"model": error.reference}, list[Message]()
    if isinstance(error, BadVersionError):
        reason, metadata["reason"] = "BAD_BUNDLE", _cut(error.reason, _LONGEST_LIST)
    elif isinstance(error, LastModelError):
        reason = "LAST_MODEL"
    else:
        reason, more = "MODEL_UNLOADING", [_retry(RETRY_ELSEWHERE_SECONDS)]
    info = ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)
    return Refusal(grpc.StatusCode.FAILED_PRECONDITION, _cut(str(error), _LONGEST_LIST), info, *more)


def models_fixed() -> Refusal:
    """FAILED_PRECONDITION: here calls do not change what is served."""
    info = ErrorInfo(reason="MODELS_FIXED", domain=DOMAIN)
    return Refusal(grpc.StatusCode.FAILED_PRECONDITION, "what is served here is not changed by calls", info)


def not_inspectable(reference: str) -> Refusal:
    """FAILED_PRECONDITION: the model was exported without views."""
    command = "python -m export RUN --models MODELS --with-attention"
    metadata = {"model": reference, "command": command}
    info = details.ErrorInfo(reason="INSPECTION_NOT_EXPORTED", domain=DOMAIN, metadata=metadata)
    message = f"{reference} was exported without views of its inside; export it again, with them: {command}"
    return Refusal(grpc.StatusCode.FAILED_PRECONDITION, message, info)


def nothing_to_show(reference: str, reason: str, message: str) -> Refusal:
    """FAILED_PRECONDITION: the model shows other things than what was asked for."""
    info = details.ErrorInfo(reason=reason, domain=DOMAIN, metadata={"model": reference})
    return Refusal(grpc.StatusCode.FAILED_PRECONDITION, f"{reference} {message}", info)


def inspection_busy(message: str) -> Refusal:
    """RESOURCE_EXHAUSTED: as many inspections run and wait as may."""
    return _exhausted("INSPECTION_BUSY", message, "inspections", RETRY_ELSEWHERE_SECONDS, {})


async def abort(context: Context, refusal: Refusal, request_id: str) -> NoReturn:
    """End the call of `context` with the status of `refusal`. Raises grpc.aio.AbortError."""
    await context.abort(refusal.code, refusal.message, trailing_metadata(refusal, request_id))
    raise AssertionError("abort does not return")


def trailing_metadata(refusal: Refusal, request_id: str) -> Metadata:
    """Return the metadata that carries the details of `refusal`."""
    rich = Status(code=refusal.code.value[0], message=refusal.message)
    for detail in (*refusal.details, details.RequestInfo(request_id=request_id)):
        rich.details.add().Pack(detail)
    return rpc_status.to_status(rich).trailing_metadata


def _retry(seconds: float) -> details.RetryInfo:
    delay = Duration()
    delay.FromNanoseconds(int(seconds * 1e9))
    return details.RetryInfo(retry_delay=delay)


def _cut(text: str, longest: int) -> str:
    """Return `text`, or its beginning, in so many bytes of UTF-8."""
    content = text.encode()
    return text if len(content) <= longest else content[: longest - 3].decode(errors="ignore") + "…"
