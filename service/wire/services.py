"""The services of a server: which servicer answers each, and what reflection tells of them.

Knows nothing about ports or how servicers work.
"""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import FileDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.seqstream.v1 import generation_pb2, inspection_pb2, inspection_pb2_grpc, model_pb2, model_pb2_grpc
from service.wire.calls import Calls
from service.wire.described import add_reflection
from service.wire.generation import GenerationServicer
from service.wire.health import HealthServicer
from service.wire.inspection import InspectionServicer
from service.wire.methods import generation_methods
from service.wire.model import ModelServicer

_FILES = (generation_pb2, inspection_pb2, model_pb2, health_pb2)


@dataclass(frozen=True, slots=True)
class Services:
    """One servicer for each service."""

    generation: GenerationServicer
    model: ModelServicer
    inspection: InspectionServicer
    health: HealthServicer

    def add_to(self, server: grpc.aio.Server) -> None:
        """Let `server` answer all of them."""
        server.add_generic_rpc_handlers((generation_methods(self.generation),))
        model_pb2_grpc.add_ModelServiceServicer_to_server(self.model, server)
        inspection_pb2_grpc.add_InspectionServiceServicer_to_server(self.inspection, server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)


def describe_services(calls: Calls, server: grpc.aio.Server) -> None:
    """Let `server` tell of all of them by reflection, to whom `calls` lets in."""
    add_reflection([name for file in _FILES for name in _names(file.DESCRIPTOR)], calls, server)


def _names(file: FileDescriptor) -> list[str]:
    return [service.full_name for service in file.services_by_name.values()]
