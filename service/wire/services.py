"""The services of a server: which servicer answers each, and what reflection tells of them.

Knows nothing about ports or how servicers work.
"""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import FileDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.inference import inference_pb2
from protos.seqstream.v1 import generation_pb2, inspection_pb2, inspection_pb2_grpc, model_pb2, model_pb2_grpc
from service.wire.calls import Calls
from service.wire.described import add_reflection
from service.wire.generation import GenerationServicer
from service.wire.health import HealthServicer
from service.wire.inference import InferenceServicer
from service.wire.inspection import InspectionServicer
from service.wire.methods import generation_methods, inference_methods
from service.wire.model import ModelServicer

_FILES = (generation_pb2, inspection_pb2, model_pb2, health_pb2)


@dataclass(frozen=True, slots=True)
class Offered:
    """What a server has beside its own services. reflection: it tells its services to whoever may call.

    open_inference: it speaks the Open Inference Protocol, too.
    """

    reflection: bool = True
    open_inference: bool = True


@dataclass(frozen=True, slots=True)
class Services:
    """One servicer for each service. inference: of the Open Inference Protocol; None: it is not spoken."""

    generation: GenerationServicer
    model: ModelServicer
    inspection: InspectionServicer
    health: HealthServicer
    inference: InferenceServicer | None

    def add_to(self, server: grpc.aio.Server) -> None:
        """Let `server` answer all of them."""
        server.add_generic_rpc_handlers((generation_methods(self.generation),))
        model_pb2_grpc.add_ModelServiceServicer_to_server(self.model, server)
        inspection_pb2_grpc.add_InspectionServiceServicer_to_server(self.inspection, server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        if self.inference is not None:
            server.add_generic_rpc_handlers((inference_methods(self.inference),))

    def describe(self, calls: Calls, server: grpc.aio.Server) -> None:
        """Let `server` tell of all of them by reflection, to whom `calls` lets in."""
        files = _FILES if self.inference is None else (*_FILES, inference_pb2)
        add_reflection([name for file in files for name in _names(file.DESCRIPTOR)], calls, server)


def _names(file: FileDescriptor) -> list[str]:
    return [service.full_name for service in file.services_by_name.values()]
