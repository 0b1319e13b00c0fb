"""Server reflection, for those who may call: it tells the names and the messages of all services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from service.wire.calls import Calls

SERVICE = reflection.SERVICE_NAME


class ReflectionServicer(reflection.aio.ReflectionServicer):  # type: ignore[misc, name-defined]  # it has no types
    """Answers after the caller is known."""

    def __init__(self, names: Sequence[str], calls: Calls) -> None:
        super().__init__([*names, SERVICE])
        self._calls = calls

    async def ServerReflectionInfo(  # noqa: N802
        self,
        requests: AsyncIterator[reflection_pb2.ServerReflectionRequest],
        context: grpc.aio.ServicerContext[
            reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse
        ],
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        """Tell what is asked for."""
        await self._calls.admit(context, "ServerReflectionInfo")
        async for response in super().ServerReflectionInfo(requests, context):
            yield response


def add_reflection(names: Sequence[str], calls: Calls, server: grpc.aio.Server) -> None:
    """Let `server` tell of the services `names`."""
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(ReflectionServicer(names, calls), server)
