"""Health by the names of models, as grpc.health.v1 has it; the library's servicer lacks the method that lists them."""

from __future__ import annotations

from grpc_health.v1 import health, health_pb2

from service.wire.context import Context


class HealthServicer(health.aio.HealthServicer):  # type: ignore[misc, name-defined]  # it has no types
    """Tells whether the server, and each of its models, serves."""

    async def List(self, request: health_pb2.HealthListRequest, context: Context) -> health_pb2.HealthListResponse:  # noqa: N802
        """Return the health of everything that has one."""
        statuses = {name: health_pb2.HealthCheckResponse(status=status) for name, status in self._server_status.items()}
        return health_pb2.HealthListResponse(statuses=statuses)

    def serves(self, name: str = "") -> bool:
        """Whether the model of this name serves, or the server itself."""
        return bool(self._server_status.get(name) == health_pb2.HealthCheckResponse.SERVING)
