"""Requests that are no messages: bytes that do not parse end a call with INVALID_ARGUMENT, in every service.

gRPC itself would answer UNKNOWN with the words of Python's error. Knows nothing about what a call does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from service.wire.calls import Calls
from service.wire.context import Context
from service.wire.refusals import Violation, invalid

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Read = Callable[[bytes], Any]


class Readable(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in its stubs alone
    """Reads the requests of every method, in the place of gRPC."""

    def __init__(self, calls: Calls) -> None:
        """calls: log and count what is refused."""
        self._calls = calls

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]], details: grpc.HandlerCallDetails
    ) -> _Handler:
        """Return the handler of a call, if there is one, with requests read by `_read`."""
        handler = await continuation(details)
        # None where there is no such method, which the types of gRPC do not tell.
        if handler is None or (read := handler.request_deserializer) is None:
            return handler
        name = details.method.rpartition("/")[2]
        if handler.request_streaming:
            streaming = self._written if iscoroutinefunction(handler.stream_stream) else self._streaming
            return _with(handler, streaming(handler.stream_stream, read, name))
        if handler.response_streaming:
            return _with(handler, self._one(handler.unary_stream, read, name))
        return _with(handler, self._one(handler.unary_unary, read, name))

    def _one(self, answer: Any, read: _Read, name: str) -> Callable[[bytes, Context], Awaitable[Any]]:  # noqa: ANN401
        async def answer_if_readable(content: bytes, context: Context) -> Any:  # noqa: ANN401
            return await answer(await self._read(content, read, name, context), context)

        return answer_if_readable

    def _written(self, answer: Any, read: _Read, name: str) -> Callable[..., Awaitable[None]]:  # noqa: ANN401
        async def answer_if_readable(contents: AsyncIterator[bytes], context: Context) -> None:
            await answer(self._each(contents, read, name, context), context)

        return answer_if_readable

    def _streaming(self, answer: Any, read: _Read, name: str) -> Callable[..., AsyncIterator[Any]]:  # noqa: ANN401
        async def answer_if_readable(contents: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
            async for response in answer(self._each(contents, read, name, context), context):
                yield response

        return answer_if_readable

    async def _each(
        self, contents: AsyncIterator[bytes], read: _Read, name: str, context: Context
    ) -> AsyncIterator[Any]:
        async for content in contents:
            yield await self._read(content, read, name, context)

    async def _read(self, content: bytes, read: _Read, name: str, context: Context) -> Any:  # noqa: ANN401
        try:
            return read(content)
        except DecodeError:
            async with self._calls.enter(context, name):
                raise invalid([Violation("request", "does not parse; allowed: the message of the method")]) from None


def _with(handler: _Handler, behavior: Any) -> _Handler:  # noqa: ANN401
    """Return a handler that is given requests as bytes."""
    write = handler.response_serializer
    if handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler(behavior, None, write)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(behavior, None, write)
    return grpc.unary_unary_rpc_method_handler(behavior, None, write)
