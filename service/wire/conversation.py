"""One stream that carries many requests, side by side: whose responses share it, and who ends with it.

A request that fails is told in the stream, which goes on. It ends when its client has no more requests and has all
responses, with the connection, with the server, or with a client that does not read. Knows nothing about what a request
asks for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

import grpc

from service.wire import refusals
from service.wire.calls import Calls
from service.wire.context import Context, Metadata
from service.wire.limits import Limits
from service.wire.refusals import Refusal

Request = TypeVar("Request")
Answer = Callable[[Request], Coroutine[Any, Any, None]]


class StreamContext(Context, Protocol):
    """A call of gRPC that writes."""

    async def send_initial_metadata(self, initial_metadata: Metadata) -> None:
        """Send what goes before the first message."""


class Conversation(Generic[Request]):
    """The stream of one call."""

    def __init__(self, context: StreamContext, calls: Calls, limits: Limits) -> None:
        """limits: its `calls` are the requests that run at once; those behind them are not read yet."""
        self._context = context
        self._calls = calls
        self._bounds = limits.bounds
        self._places = asyncio.Semaphore(limits.calls)
        self._lock = asyncio.Lock()
        self._sent: asyncio.Task[None] | None = None

    async def hold(self, requests: AsyncIterator[Request], answer: Answer[Request]) -> None:
        """Answer all requests. Returns when the client has no more.

        Raises:
            Refusal: what ends the stream: RESOURCE_EXHAUSTED or UNAVAILABLE, or what `answer` raises.
            grpc.aio.AbortError: a request could not be read, and its client has been told.
        """
        # Or the first message would bring it, and a status beside that would bring it, too: gRPC then sends neither.
        await self._context.send_initial_metadata(())
        ended: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as running:
                reading = running.create_task(self._read(requests, answer, running))
                leaving = running.create_task(self._calls.leaving.wait())
                await asyncio.wait((reading, leaving), return_when=asyncio.FIRST_COMPLETED)
                cut = not reading.done()
                reading.cancel()
                leaving.cancel()
        except* (Refusal, grpc.aio.AbortError) as errors:
            ended = errors.exceptions[0]
        if ended is not None:
            raise ended
        if cut:
            raise refusals.draining()

    async def write(self, message: bytes) -> None:
        """Send a message once those before it are sent.

        If it is cancelled, its message is sent nevertheless: gRPC has it, and takes no other before.
        """
        async with self._lock:
            if self._sent is not None:
                await asyncio.wait((self._sent,))
            self._sent = asyncio.create_task(self._context.write(message))
            self._sent.add_done_callback(_see)
            try:
                await asyncio.shield(self._sent)
            except grpc.aio.BaseError:  # the client is gone, or the stream has ended: nobody is left to be told
                raise asyncio.CancelledError from None

    async def write_soon(self, message: bytes) -> None:
        """Send a message that no stream of the engine bounds. Raises Refusal: RESOURCE_EXHAUSTED, nobody reads."""
        try:
            async with asyncio.timeout(self._bounds.seconds):
                await self.write(message)
        except TimeoutError:
            told = f"the client has read nothing for {self._bounds.seconds:g} s"
            raise refusals.slow_consumer(told, self._bounds.tokens, self._bounds.seconds) from None

    async def _read(
        self, requests: AsyncIterator[Request], answer: Answer[Request], running: asyncio.TaskGroup
    ) -> None:
        async for request in requests:
            await self._places.acquire()
            running.create_task(answer(request)).add_done_callback(lambda _: self._places.release())


def _see(sent: asyncio.Task[None]) -> None:
    """Look at how it ended: nobody else may, once who waited is cancelled."""
    if not sent.cancelled():
        sent.exception()
