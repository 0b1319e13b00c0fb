"""How calls reach those servicers that write bytes: as the generated code does it, but for that.

Knows nothing about what a call does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from protos.inference import inference_pb2
from protos.seqstream.v1 import generation_pb2 as pb
from service.wire.generation import GenerationServicer
from service.wire.inference import InferenceServicer

_WRITES_BYTES = ("ModelInfer", "ModelStreamInfer")


def generation_methods(servicer: GenerationServicer) -> grpc.GenericRpcHandler[Any, Any]:
    """Return the handler of every method of GenerationService."""
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


def inference_methods(servicer: InferenceServicer) -> grpc.GenericRpcHandler[Any, Any]:
    """Return the handler of every method of GRPCInferenceService."""
    service = inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    methods = {method.name: _handler(method, getattr(servicer, method.name)) for method in service.methods}
    return grpc.method_handlers_generic_handler(service.full_name, methods)


def _handler(method: MethodDescriptor, answer: Callable[..., Any]) -> grpc.RpcMethodHandler[Any, Any]:
    request = GetMessageClass(method.input_type)
    if method.name in _WRITES_BYTES:
        kind = grpc.stream_stream_rpc_method_handler if method.client_streaming else grpc.unary_unary_rpc_method_handler
        return kind(answer, request.FromString)
    response = GetMessageClass(method.output_type)
    return grpc.unary_unary_rpc_method_handler(answer, request.FromString, response.SerializeToString)
