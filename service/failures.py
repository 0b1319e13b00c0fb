"""How a call can fail, for callers of the client.

    ClientError
      InvalidArgument      fields are outside of their limits: `violations` tells which, what they are and may be
      Unauthenticated      the server wants to know who calls, and was told nothing, or nothing valid
      PermissionDenied     whoever calls may not do this
      NotFound             no such model or version: `known` tells those there are
      FailedPrecondition   the model cannot do what was asked
      Overloaded           the queue is full: come back after `retry_after` seconds
      SlowConsumer         the stream was ended because this client did not read it
      Unavailable          the server is not there, or is about to stop
      DeadlineExceeded     the timeout passed before the call was answered
      Internal             anything else: a fault of the server's, or of the way there

Knows nothing about gRPC.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One bad field: its path in the request, such as "sampling.top_p", and its value with what is allowed."""

    field: str
    description: str


class ClientError(Exception):
    """Any of the errors of this module. request_id: what the server's log calls the call; empty if it never got there.

    retry_after: seconds after which the server wants to be asked again, or None.
    status: the name of the status that the call ended with, such as "RESOURCE_EXHAUSTED".
    """

    status = "UNKNOWN"

    def __init__(self, message: str, request_id: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.retry_after = retry_after


class InvalidArgument(ClientError):  # noqa: N818 (named as the status is)
    """Fields of the request are outside of their limits."""

    def __init__(self, message: str, request_id: str = "", violations: tuple[Violation, ...] = ()) -> None:
        super().__init__(message, request_id)
        self.violations = violations


class Unauthenticated(ClientError):  # noqa: N818
    """The server wants a token or a certificate, and was shown none, or none that is valid."""


class PermissionDenied(ClientError):  # noqa: N818
    """Whoever calls may not do this."""


class NotFound(ClientError):  # noqa: N818
    """There is no such model or version."""

    def __init__(self, message: str, request_id: str = "", known: tuple[str, ...] = ()) -> None:
        super().__init__(message, request_id)
        self.known = known


class FailedPrecondition(ClientError):  # noqa: N818
    """The model cannot do what was asked."""


class Overloaded(ClientError):  # noqa: N818
    """Too many requests wait."""


class SlowConsumer(ClientError):  # noqa: N818
    """Too many tokens of the stream waited for this client, or it did not read for too long."""


class Unavailable(ClientError):  # noqa: N818
    """The server cannot be reached, or refuses new calls because it is about to stop."""


class DeadlineExceeded(ClientError):  # noqa: N818
    """The timeout passed."""

    status = "DEADLINE_EXCEEDED"


class Internal(ClientError):  # noqa: N818
    """The call failed for a reason that no other error tells."""

    status = "INTERNAL"
