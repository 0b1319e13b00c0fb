"""One call on a replica: what the servicers need of it, on top of what Serve gives.

Serve takes the messages of a stream from an async generator, and a status from the context that it hands in, which
travels with every message and with the answer, but not with an exception: a call that is refused ends with an empty
message that carries the status. The proxy's side of this is deploy/ray/proxy.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine
from typing import NoReturn, Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from deploy.ray.pace import Pace
from service.wire.context import Metadata

# Seconds that the caller gave, as the proxy took the call: Serve itself keeps them from replicas.
TIMEOUT = "seqstream-timeout"

_Answer = TypeVar("_Answer", bound=Message)


class ServeContext(Protocol):
    """What is used of Serve's context of a call."""

    def invocation_metadata(self) -> list[tuple[str, str]]: ...
    def set_code(self, code: grpc.StatusCode) -> None: ...
    def set_details(self, details: str) -> None: ...
    def set_trailing_metadata(self, trailing_metadata: list[tuple[str, str | bytes]]) -> None: ...


class Call:
    """The context of one call, for the servicers."""

    def __init__(self, context: ServeContext, pace: Pace) -> None:
        """`pace` is that of all calls of the replica."""
        self._context = context
        self._pace = pace
        timeout = dict(context.invocation_metadata()).get(TIMEOUT)
        self._deadline = None if timeout is None else time.monotonic() + float(timeout)
        # Room for one message: the servicer waits until it is taken. None wakes a taker for whom nothing comes.
        self._room: asyncio.Queue[bytes | None] = asyncio.Queue(1)

    def invocation_metadata(self) -> list[tuple[str, str]]:
        """Return what the caller sent beside the request."""
        return self._context.invocation_metadata()

    def auth_context(self) -> dict[str, list[bytes]]:
        """Return nothing: the proxy has the connection."""
        return {}

    def time_remaining(self) -> float | None:
        """Return the seconds until the caller's deadline, or None: it has none."""
        return None if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)

    async def write(self, message: bytes) -> None:
        """Let `stream` yield a message, once it has yielded the one before and the replica may send another."""
        await self._pace.turn()
        await self._room.put(message)

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Metadata) -> NoReturn:
        """Set the status. Raises grpc.aio.AbortError."""
        self._context.set_code(code)
        self._context.set_details(details)
        self._context.set_trailing_metadata(list(trailing_metadata))
        raise grpc.aio.AbortError

    async def answer(self, handler: Coroutine[None, None, _Answer], empty: _Answer) -> _Answer:
        """Return what `handler` does, or `empty` if it ended with a status."""
        try:
            return await handler
        except grpc.aio.AbortError:
            return empty

    async def stream(self, handler: Coroutine[None, None, None], empty: _Answer) -> AsyncGenerator[_Answer, None]:
        """Run `handler` and yield what it writes; `empty` at the end, if that is a status. Leaving early cancels it."""
        task = asyncio.create_task(handler)
        task.add_done_callback(self._wake)
        try:
            while not (task.done() and self._room.empty()):
                if (message := await self._room.get()) is not None:
                    yield type(empty).FromString(message)
            try:
                await task
            except grpc.aio.AbortError:
                yield empty
        finally:
            task.cancel()
            await asyncio.wait([task])

    def _wake(self, _: asyncio.Task[None]) -> None:
        if self._room.empty():
            self._room.put_nowait(None)
