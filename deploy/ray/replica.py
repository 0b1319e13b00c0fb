"""A replica: the servicers and engines of a server, called by Serve instead of gRPC.

One actor of Ray's with the models of one application. Its methods are named as in the .proto files, for Serve finds
them by that name, and their last argument as Serve wants it.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator

from google.protobuf.message import Message

from deploy.ray.arguments import Arguments
from deploy.ray.call import Call, ServeContext
from deploy.ray.pace import Pace
from protos.seqstream.v1 import generation_pb2 as pb
from protos.seqstream.v1 import model_pb2
from service import logs
from service.engine import EngineSettings
from service.loading import Loader, load_models
from service.wire.calls import Calls
from service.wire.generation import GenerationServicer
from service.wire.model import ModelServicer

# As in a server of our own (service/__main__.py): the engine's thread waits for the interpreter after every step.
_SWITCH_SECONDS = 0.0005


class Replica:
    """Both services on the models of one application."""

    def __init__(self, arguments: Arguments) -> None:
        """Load the models and start their engines, on the event loop that will run every call.

        Raises:
            BundleError: a bundle is not what its manifest says, or there is none.
            DeviceError: the device cannot be used.
        """
        logs.configure(arguments.log_level, "text")
        sys.setswitchinterval(_SWITCH_SECONDS)
        engine = EngineSettings(arguments.rows, arguments.queue_limit, arguments.chunk_tokens)
        loader = Loader(arguments.models, arguments.device, engine, arguments.threads)
        self._models = load_models(loader, arguments.model)
        for model in self._models:
            model.engine.start()
        self._pace = Pace(arguments.messages_per_second)
        calls = Calls()
        self._generation = GenerationServicer(self._models, calls, arguments.max_new_tokens_limit)
        self._model = ModelServicer(self._models, calls)

    def check_health(self) -> None:
        """Raise once a step of any model has raised: Serve then puts another replica in this one's place."""
        for model in self._models:
            if model.engine.failed.is_set():
                raise RuntimeError(f"a step of {model.reference} failed") from model.engine.failure

    async def Generate(  # noqa: N802
        self, request: pb.GenerateRequest, grpc_context: ServeContext
    ) -> AsyncGenerator[Message, None]:
        """Stream the samples of a prompt."""
        call = Call(grpc_context, self._pace)
        async for message in call.stream(self._generation.Generate(request, call), pb.GenerateResponse()):
            yield message

    async def Score(self, request: pb.ScoreRequest, grpc_context: ServeContext) -> pb.ScoreResponse:  # noqa: N802
        """Return the log-probability of a continuation."""
        call = Call(grpc_context, self._pace)
        return await call.answer(self._generation.Score(request, call), pb.ScoreResponse())

    async def Tokenize(  # noqa: N802
        self, request: pb.TokenizeRequest, grpc_context: ServeContext
    ) -> pb.TokenizeResponse:
        """Return the tokens of a text."""
        call = Call(grpc_context, self._pace)
        return await call.answer(self._generation.Tokenize(request, call), pb.TokenizeResponse())

    async def Detokenize(  # noqa: N802
        self, request: pb.DetokenizeRequest, grpc_context: ServeContext
    ) -> pb.DetokenizeResponse:
        """Return the text of tokens."""
        call = Call(grpc_context, self._pace)
        return await call.answer(self._generation.Detokenize(request, call), pb.DetokenizeResponse())

    async def ListModels(  # noqa: N802
        self, request: model_pb2.ListModelsRequest, grpc_context: ServeContext
    ) -> model_pb2.ListModelsResponse:
        """List every version of every model of this application."""
        call = Call(grpc_context, self._pace)
        return await call.answer(self._model.ListModels(request, call), model_pb2.ListModelsResponse())

    async def GetModel(  # noqa: N802
        self, request: model_pb2.GetModelRequest, grpc_context: ServeContext
    ) -> model_pb2.GetModelResponse:
        """Return one model."""
        call = Call(grpc_context, self._pace)
        return await call.answer(self._model.GetModel(request, call), model_pb2.GetModelResponse())

    async def LoadModel(  # noqa: N802
        self, request: model_pb2.LoadModelRequest, grpc_context: ServeContext
    ) -> model_pb2.LoadModelResponse:
        """Refuse: one replica alone is not to change; Serve deploys an application anew."""
        call = Call(grpc_context, self._pace)
        return await call.answer(self._model.LoadModel(request, call), model_pb2.LoadModelResponse())

    async def UnloadModel(  # noqa: N802
        self, request: model_pb2.UnloadModelRequest, grpc_context: ServeContext
    ) -> model_pb2.UnloadModelResponse:
        """Refuse, likewise."""
        call = Call(grpc_context, self._pace)
        return await call.answer(self._model.UnloadModel(request, call), model_pb2.UnloadModelResponse())
