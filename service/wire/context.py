"""What a servicer needs of the call that it answers.

Of gRPC's own context, and of whatever else carries calls to the same servicers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NoReturn, Protocol

import grpc

# What a caller sends beside a request to tell who it is.
AUTHORIZATION = "authorization"
TENANT_KEY = "x-tenant"

Metadata = tuple[tuple[str, str | bytes], ...]


class Context(Protocol):
    """One call. What ends it early, the client or its deadline, is raised where the servicer waits."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """Return what the caller sent beside the request."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Return what the connection knows of the caller: names in its certificate, by gRPC's names of properties."""

    def time_remaining(self) -> float | None:
        """Return the seconds until the call's deadline, or None: it has none."""

    async def write(self, message: bytes) -> None:
        """Send one message of a stream, serialised, once there is room for it."""

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Metadata) -> NoReturn:
        """End the call with a status. Raises grpc.aio.AbortError."""


def deadline_of(context: Context) -> float | None:
    """Return when samples must end so that what they have still arrives in time, by `time.monotonic()`."""
    remaining = context.time_remaining()
    if remaining is None:
        return None
    return time.monotonic() + remaining - min(0.2, 0.1 * remaining)
