"""What Serve says of a call, in the words of the protocol.

A replica that refuses says so itself, with google.rpc details. A status without them is Serve's own, and Serve knows
nothing of this protocol: it calls a replica that died INTERNAL, which no client tries again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from ray.exceptions import ActorDiedError

from service.wire.context import Metadata
from service.wire.refusals import DOMAIN, Refusal, trailing_metadata

_RICH = "grpc-status-details-bin"
# Serve keeps only the texts of Ray's exceptions: ActorDiedError, and ActorUnavailableError, which names the actor.
_DIED = ActorDiedError.BASE_ERROR_MSG
_UNREACHABLE = re.compile(r"The actor \w+ is unavailable: ")


class Said:
    """Stands between Serve's handler and the context of the call: keeps the status until the handler is done.

    A handler may outlive its call, whose context must not be touched then: what it can ask for is here from the start.
    """

    def __init__(self, context: grpc.aio.ServicerContext[Message, Message], metadata: Metadata) -> None:
        """`metadata` is what the handler shall take for the caller's."""
        self._context = context
        self._invocation_metadata = metadata
        self._peer = context.peer()
        self._identities = context.peer_identities(), context.peer_identity_key(), context.auth_context()
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self._trailing_metadata: Metadata = ()

    def invocation_metadata(self) -> Metadata:
        """Return what came with the call."""
        return self._invocation_metadata

    def peer(self) -> str:
        """Return the caller's address."""
        return self._peer

    def peer_identities(self) -> Iterable[bytes] | None:
        """Return who the caller is, if that is known."""
        return self._identities[0]

    def peer_identity_key(self) -> str | None:
        """Return how that is known."""
        return self._identities[1]

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Return what else is."""
        return self._identities[2]

    def code(self) -> grpc.StatusCode | None:
        """Return the status so far."""
        return self._code

    def details(self) -> str:
        """Return its message."""
        return self._details

    def trailing_metadata(self) -> Metadata:
        """Return what goes with it."""
        return self._trailing_metadata

    def set_code(self, code: grpc.StatusCode) -> None:
        """Keep a status."""
        self._code = code

    def set_details(self, details: str) -> None:
        """Keep its message."""
        self._details = details

    def set_trailing_metadata(self, trailing_metadata: Metadata) -> None:
        """Keep what goes with it."""
        self._trailing_metadata = tuple(trailing_metadata)

    def tell(self) -> None:
        """Give the status to the call."""
        metadata = dict(self._trailing_metadata)
        refusal = None if _RICH in metadata or self._code is None else translated(self._code, self._details)
        if refusal is not None:
            request_id = str(metadata.get("request_id", ""))
            self._code, self._details = refusal.code, refusal.message
            self._trailing_metadata += trailing_metadata(refusal, request_id)
        if self._code is not None:
            self._context.set_code(self._code)
        self._context.set_details(self._details)
        self._context.set_trailing_metadata(self._trailing_metadata)


def translated(code: grpc.StatusCode, details: str) -> Refusal | None:
    """Return what a status of Serve's own means, or None: what it says."""
    gone = details.startswith(_DIED) or _UNREACHABLE.match(details)
    if code is grpc.StatusCode.INTERNAL and gone:
        return Refusal(
            grpc.StatusCode.UNAVAILABLE, "the replica is gone", ErrorInfo(reason="REPLICA_LOST", domain=DOMAIN)
        )
    if code is grpc.StatusCode.NOT_FOUND:
        return Refusal(code, details, ErrorInfo(reason="MODEL_NOT_FOUND", domain=DOMAIN))
    return None
