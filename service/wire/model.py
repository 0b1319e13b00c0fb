"""ModelService: what is served, what is known of it, and how that is changed."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from protos.seqstream.v1 import model_pb2 as pb
from protos.seqstream.v1.model_pb2_grpc import ModelServiceServicer
from service.models import Models, UnknownModelError
from service.versions import Versions
from service.wire import convert
from service.wire.access import require_admin
from service.wire.calls import Call, Calls
from service.wire.checks import Checks
from service.wire.context import Context
from service.wire.refusals import models_fixed

_MOST_DRAIN_SECONDS = 86_400


class ModelServicer(ModelServiceServicer):
    """Tells about the models of a server, and changes them."""

    def __init__(self, models: Models, calls: Calls, versions: Versions | None = None) -> None:
        """versions: that change `models`; None: nothing does."""
        self._models = models
        self._calls = calls
        self._versions = versions

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:  # noqa: N802
        """List every version of every model."""
        async with self._calls.enter(context, "ListModels"):
            listed: list[pb.Model] = [*map(convert.model, self._models), *self._others()]
            listed.sort(key=lambda model: (model.name, model.version))
            return pb.ListModelsResponse(models=listed)

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:  # noqa: N802
        """Return one model."""
        async with self._calls.enter(context, "GetModel") as call:
            try:
                model = self._models.find(request.model)
            except UnknownModelError:
                for other in self._others():
                    if request.model == f"{other.name}@{other.version}":
                        return pb.GetModelResponse(model=other)
                raise
            call.model = model.reference
            return pb.GetModelResponse(model=convert.model(model))

    async def LoadModel(self, request: pb.LoadModelRequest, context: Context) -> pb.LoadModelResponse:  # noqa: N802
        """Serve a version."""
        async with self._calls.enter(context, "LoadModel") as call:
            versions = changing(self._versions, call)
            checks = Checks()
            checks.require(bool(request.model), "model", "empty", '"name" or "name@version"')
            checks.raise_if_any()
            model = await versions.load(request.model)
            call.model = model.reference
            return pb.LoadModelResponse(model=convert.model(model))

    async def UnloadModel(  # noqa: N802
        self, request: pb.UnloadModelRequest, context: Context
    ) -> pb.UnloadModelResponse:
        """Serve a version no longer."""
        async with self._calls.enter(context, "UnloadModel") as call:
            versions = changing(self._versions, call)
            checks = Checks()
            named = request.model.rpartition("@")
            checks.require(bool(named[0]) and named[2].isdecimal(), "model", repr(request.model), '"name@version"')
            seconds = _seconds(request.drain) if request.HasField("drain") else None
            checks.between("drain", seconds or 0, 0, _MOST_DRAIN_SECONDS)
            checks.raise_if_any()
            await versions.unload(request.model, seconds)
            call.model = request.model
            return pb.UnloadModelResponse()

    def _others(self) -> list[pb.Model]:
        return [convert.version(version) for version in (self._versions.others() if self._versions else ())]


def changing(versions: Versions | None, call: Call) -> Versions:
    """Return what changes the models, for a caller who may change them. Raises Refusal."""
    require_admin(call.identity)
    if versions is None:
        raise models_fixed()
    return versions


def _seconds(duration: Duration) -> float:
    return duration.ToNanoseconds() / 1e9
