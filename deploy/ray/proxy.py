"""Both services in Serve's gRPC proxy: `deploy.ray.proxy.add_services` is what its `grpc_servicer_functions` name.

Serve routes every call itself. Here it is told three things more: which application, where the caller names only the
model; the time that the caller gives; and what a status means, where Serve speaks for a replica that cannot.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message

from deploy.ray.call import TIMEOUT
from deploy.ray.said import Said
from protos.seqstream.v1.generation_pb2_grpc import add_GenerationServiceServicer_to_server
from protos.seqstream.v1.model_pb2_grpc import add_ModelServiceServicer_to_server

ServicerContext = grpc.aio.ServicerContext[Message, Message]
Stream = Callable[[Message, Said], AsyncGenerator[bytes, None]]
Unary = Callable[[Message, Said], Awaitable[bytes]]


def add_services(servicer: object, server: Any) -> None:  # noqa: ANN401 (Serve's own kind of grpc.aio.Server)
    """Let `server` answer the calls of both services by asking Serve."""
    of_serve = server.service_handler_factory

    def factory(**call: object) -> Callable[..., Any]:
        handler = of_serve(**call)
        return _streaming(handler) if inspect.isasyncgenfunction(handler) else _unary(handler)

    server.service_handler_factory = factory
    add_GenerationServiceServicer_to_server(servicer, server)
    add_ModelServiceServicer_to_server(servicer, server)
    server.service_handler_factory = of_serve


def _streaming(handler: Stream) -> Callable[[Message, ServicerContext], AsyncGenerator[bytes, None]]:
    async def stream(request: Message, context: ServicerContext) -> AsyncGenerator[bytes, None]:
        said = Said(context, _metadata(request, context))
        messages = handler(request, said)
        try:
            async for message in messages:
                if message:  # an empty one brings a status and nothing else
                    yield message
        except GeneratorExit:
            await _cancel(messages)
            raise
        said.tell()

    return stream


async def _cancel(messages: AsyncGenerator[bytes, None]) -> None:
    """End a stream whose caller went while a message was on its way to it.

    Serve tells a replica only if the cancellation finds it waiting for the next message.
    """
    waiting = asyncio.ensure_future(anext(messages, None))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])


def _unary(handler: Unary) -> Callable[[Message, ServicerContext], Awaitable[bytes]]:
    async def unary(request: Message, context: ServicerContext) -> bytes:
        said = Said(context, _metadata(request, context))
        response = await handler(request, said)
        said.tell()
        return response

    return unary


def _metadata(request: Message, context: ServicerContext) -> tuple[tuple[str, str | bytes], ...]:
    """Return the metadata of a call, with the application and the time that is left added."""
    metadata = [(key, value) for key, value in context.invocation_metadata() or () if key != TIMEOUT]
    model = str(getattr(request, "model", "")).partition("@")[0]
    if model and all(key != "application" for key, _ in metadata):
        metadata.append(("application", model))
    remaining = context.time_remaining()
    if remaining is not None:
        metadata.append((TIMEOUT, f"{remaining:.6f}"))
    return tuple(metadata)
