"""ModelService: what is served, and what is known of it."""

from __future__ import annotations

from protos.seqstream.v1 import model_pb2 as pb
from protos.seqstream.v1.model_pb2_grpc import ModelServiceServicer
from service.models import Models
from service.wire import convert
from service.wire.calls import Calls
from service.wire.context import Context


class ModelServicer(ModelServiceServicer):
    """Tells about the models of a server."""

    def __init__(self, models: Models, calls: Calls) -> None:
        self._models = models
        self._calls = calls

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:  # noqa: N802
        """List every version of every model."""
        async with self._calls.enter(context, "ListModels"):
            return pb.ListModelsResponse(models=map(convert.model, self._models))

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:  # noqa: N802
        """Return one model."""
        async with self._calls.enter(context, "GetModel") as call:
            model = self._models.find(request.model)
            call.model = model.reference
            return pb.GetModelResponse(model=convert.model(model))
