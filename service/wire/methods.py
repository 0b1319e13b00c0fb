"""How the calls of GenerationService reach its servicer. As the generated code does it, but that Generate writes bytes.

Knows nothing about what a call does.
"""

from __future__ import annotations

from typing import Any

import grpc

from protos.seqstream.v1 import generation_pb2 as pb
from service.wire.generation import GenerationServicer


def generation_methods(servicer: GenerationServicer) -> grpc.GenericRpcHandler[Any, Any]:
    """Return the handler of every method of the service."""
    unary = grpc.unary_unary_rpc_method_handler
    methods = {
        "Generate": grpc.unary_stream_rpc_method_handler(servicer.Generate, pb.GenerateRequest.FromString),
        "Score": unary(servicer.Score, pb.ScoreRequest.FromString, pb.ScoreResponse.SerializeToString),
        "Tokenize": unary(servicer.Tokenize, pb.TokenizeRequest.FromString, pb.TokenizeResponse.SerializeToString),
        "Detokenize": unary(
            servicer.Detokenize, pb.DetokenizeRequest.FromString, pb.DetokenizeResponse.SerializeToString
        ),
    }
    service = pb.DESCRIPTOR.services_by_name["GenerationService"]
    assert methods.keys() == {method.name for method in service.methods}, "every method has its handler"
    return grpc.method_handlers_generic_handler(service.full_name, methods)
