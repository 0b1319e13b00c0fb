"""A failed call to the error that its caller gets, by its status and the google.rpc details in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, cast

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status

from service.failures import (
    ClientError,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    Overloaded,
    PermissionDenied,
    SlowConsumer,
    Unauthenticated,
    Unavailable,
    Violation,
)

_Detail = TypeVar("_Detail", bound=Message)
_KEY = "grpc-status-details-bin"


def failure(error: grpc.aio.AioRpcError) -> ClientError:
    """Return what `error` means."""
    found = _failure(error)
    found.status = error.code().name
    return found


def _failure(error: grpc.aio.AioRpcError) -> ClientError:
    status, code = _rich_status(error), error.code()
    message = error.details() or code.name
    request_id = _detail(status, details.RequestInfo()).request_id
    info = _detail(status, details.ErrorInfo())
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        found = _detail(status, details.BadRequest()).field_violations
        return InvalidArgument(message, request_id, tuple(Violation(bad.field, bad.description) for bad in found))
    if code is grpc.StatusCode.NOT_FOUND:
        known = info.metadata.get("models", "")
        return NotFound(message, request_id, tuple(known.split(", ")) if known else ())
    retry = _detail(status, details.RetryInfo())
    retry_after = retry.retry_delay.ToNanoseconds() / 1e9 if retry.HasField("retry_delay") else None
    kind: type[ClientError] = {
        grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
        grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
        grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
        grpc.StatusCode.UNAVAILABLE: Unavailable,
        grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    }.get(code, Internal)
    kind = {"QUEUE_FULL": Overloaded, "SLOW_CONSUMER": SlowConsumer}.get(info.reason, kind)
    if _is_cut(error) and not status.details:
        kind = Unavailable
    return kind(message, request_id, retry_after)


def _is_cut(error: grpc.aio.AioRpcError) -> bool:
    """Whether the stream ended without a status: what a proxy makes of it when its server is gone.

    Envoy and HAProxy reset it, or end it without trailers, and gRPC makes up one of these statuses, with words of its
    own. This client's own cancellations are no errors of a call.
    """
    made_up = error.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    return made_up and (error.details() or "").startswith("Stream removed")


def _rich_status(error: grpc.aio.AioRpcError) -> Status:
    metadata = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    packed = dict(metadata).get(_KEY, b"")
    return Status.FromString(packed) if isinstance(packed, bytes) else Status()


def _detail(status: Status, empty: _Detail) -> _Detail:
    """Return the detail of the type of `empty`, or `empty` if there is none."""
    for packed in status.details:
        if packed.Unpack(empty):
            break
    return empty
