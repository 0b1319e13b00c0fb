"""GRPCInferenceService: the Open Inference Protocol over the same engine calls as GenerationService.

A request becomes a GenerateRequest, and is checked, run and bounded as one. docs/open-inference.md tells how.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from protos.inference import inference_pb2 as pb
from protos.inference.inference_pb2_grpc import GRPCInferenceServiceServicer
from service.models import Models, ServedModel
from service.release import VERSION
from service.version import LastModelError
from service.versions import Versions
from service.wire import inference_model
from service.wire.asked import read_asked
from service.wire.calls import Call, Calls
from service.wire.checks import Checks
from service.wire.context import Context, deadline_of
from service.wire.conversation import Conversation, StreamContext
from service.wire.health import HealthServicer
from service.wire.infer_request import read_infer
from service.wire.limits import Limits
from service.wire.model import changing
from service.wire.prompt import as_given
from service.wire.refusals import SLOW_CONSUMER, Refusal
from service.wire.sending import Write, send
from service.wire.tensor_reply import Heading, TensorReply

_EXTENSIONS = ("model_configuration", "model_repository", "parameters", "schedule_policy", "statistics")
# With this in its metadata a stream ends with the status of the first request that fails.
_STRICT = ("triton_grpc_error", "true")
_STREAM = "ModelStreamInfer"


class InferenceServicer(GRPCInferenceServiceServicer):
    """Tells about the server and its models, generates, and changes what is served."""

    def __init__(
        self,
        models: Models,
        calls: Calls,
        health: HealthServicer,
        most_new_tokens: int,
        limits: Limits,
        versions: Versions | None = None,
    ) -> None:
        """most_new_tokens: that a request may ask for.    versions: that change `models`; None: nothing does."""
        self._models = models
        self._calls = calls
        self._health = health
        self._most_new_tokens = most_new_tokens
        self._limits = limits
        self._versions = versions

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Context) -> pb.ServerLiveResponse:  # noqa: N802
        """Answer. Like health, to everybody."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Context) -> pb.ServerReadyResponse:  # noqa: N802
        """Tell whether requests are taken. Like health, to everybody."""
        return pb.ServerReadyResponse(ready=self._health.serves())

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:  # noqa: N802
        """Tell whether a model takes requests. Like health, to everybody."""
        ready = self._health.serves() and self._health.serves(_reference(request.name, request.version))
        return pb.ModelReadyResponse(ready=bool(request.name) and ready)

    async def ServerMetadata(  # noqa: N802
        self, request: pb.ServerMetadataRequest, context: Context
    ) -> pb.ServerMetadataResponse:
        """Tell what the server is."""
        async with self._calls.enter(context, "ServerMetadata"):
            return pb.ServerMetadataResponse(name="seqstream", version=VERSION, extensions=_EXTENSIONS)

    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        """Tell the tensors of a model."""
        async with self._calls.enter(context, "ModelMetadata") as call:
            model = self._find(request.name, request.version, call)
            versions = [one.manifest.version for one in self._models if one.manifest.name == model.manifest.name]
            return inference_model.metadata(model, versions)

    async def ModelConfig(self, request: pb.ModelConfigRequest, context: Context) -> pb.ModelConfigResponse:  # noqa: N802
        """Tell how a model would be configured."""
        async with self._calls.enter(context, "ModelConfig") as call:
            return pb.ModelConfigResponse(
                config=inference_model.config(self._find(request.name, request.version, call))
            )

    async def ModelStatistics(  # noqa: N802
        self, request: pb.ModelStatisticsRequest, context: Context
    ) -> pb.ModelStatisticsResponse:
        """Tell what models have done."""
        async with self._calls.enter(context, "ModelStatistics") as call:
            asked = [self._find(request.name, request.version, call)] if request.name else [*self._models]
            if request.name and not request.version:
                asked = [model for model in self._models if model.manifest.name == asked[0].manifest.name]
            return pb.ModelStatisticsResponse(model_stats=map(inference_model.statistics, asked))

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Context) -> bytes:  # noqa: N802
        """Generate, and return the whole, serialised."""
        response = b""

        async def keep(message: bytes) -> None:
            nonlocal response
            response = message

        async with self._calls.enter(context, "ModelInfer") as call:
            await self._generate(request, context, call, keep, streamed=False)
        return response

    async def ModelStreamInfer(self, requests: AsyncIterator[pb.ModelInferRequest], context: StreamContext) -> None:  # noqa: N802
        """Generate for every request of a stream, side by side."""
        await self._calls.admit(context, _STREAM)
        strict = _STRICT in list(context.invocation_metadata() or ())
        stream: Conversation[pb.ModelInferRequest] = Conversation(context, self._calls, self._limits)

        async def answer(request: pb.ModelInferRequest) -> None:
            try:
                async with self._calls.enter(context, _STREAM, told=False) as call:
                    await self._generate(request, context, call, stream.write, streamed=True)
            except Refusal as refusal:
                if strict or refusal.reason == SLOW_CONSUMER:
                    raise
                await stream.write_soon(_failed(request, refusal))

        try:
            await stream.hold(requests, answer)
        except Refusal as refusal:
            await self._calls.turn_away(context, _STREAM, refusal)

    async def RepositoryIndex(  # noqa: N802
        self, request: pb.RepositoryIndexRequest, context: Context
    ) -> pb.RepositoryIndexResponse:
        """List every version of every model."""
        async with self._calls.enter(context, "RepositoryIndex"):
            _check_repository(request)
            others = () if self._versions is None or request.ready else self._versions.others()
            return inference_model.index(self._models, others)

    async def RepositoryModelLoad(  # noqa: N802
        self, request: pb.RepositoryModelLoadRequest, context: Context
    ) -> pb.RepositoryModelLoadResponse:
        """Serve a version."""
        async with self._calls.enter(context, "RepositoryModelLoad") as call:
            versions = changing(self._versions, call)
            _check_repository(request)
            call.model = (await versions.load(request.model_name)).reference
            return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(  # noqa: N802
        self, request: pb.RepositoryModelUnloadRequest, context: Context
    ) -> pb.RepositoryModelUnloadResponse:
        """Serve a version, or all of a model, no longer."""
        async with self._calls.enter(context, "RepositoryModelUnload") as call:
            versions = changing(self._versions, call)
            _check_repository(request)
            served = [model.reference for model in self._models if model.manifest.name == request.model_name]
            if served and len(served) == len(self._models.references):
                raise LastModelError(request.model_name)
            await asyncio.gather(*map(versions.unload, served or [request.model_name]))
            call.model = request.model_name
            return pb.RepositoryModelUnloadResponse()

    def _find(self, name: str, version: str, call: Call, *, counts: bool = False) -> ServedModel:
        model = self._models.find(_reference(name, version))
        call.use(model, counts=counts)
        return model

    async def _generate(
        self, request: pb.ModelInferRequest, context: Context, call: Call, write: Write, *, streamed: bool
    ) -> None:
        """Generate what `request` asks for and write the responses."""
        model = self._find(request.model_name, request.model_version, call, counts=True)
        infer, deadline = read_infer(request), deadline_of(context)
        if self._calls.log_prompts:
            call.prompt = as_given(infer.wire)
        if infer.seconds is not None:
            own = time.monotonic() + infer.seconds
            deadline = own if deadline is None else min(own, deadline)
        model.engine.admit(call.identity.tenant, deadline)  # before anything is tokenized
        asked = await read_asked(infer.wire, model, self._most_new_tokens, call, deadline, infer.checks)
        call.prompt_tokens = asked.prompt_tokens
        if call.span is not None:
            call.span.ask(asked.generation, "text_completion")
        heading = Heading(
            id=request.id,
            name=request.model_name,
            version=str(model.manifest.version),
            request_id=call.request_id,
            seed=asked.generation.seed,
            wanted=infer.wanted,
            whole=infer.whole or not streamed,
            streamed=streamed,
        )
        reply = TensorReply(heading, model.tokenizer, infer.wire, timed=call.traced)
        await send(asked, {0: reply}, write, call, self._limits.bounds)


def _reference(name: str, version: str) -> str:
    return f"{name}@{version}" if version else name


def _check_repository(
    request: pb.RepositoryIndexRequest | pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest,
) -> None:
    """Check what repository is meant, and parameters. Raises Refusal."""
    checks = Checks()
    checks.require(not request.repository_name, "repository_name", repr(request.repository_name), "empty: there is one")
    if not isinstance(request, pb.RepositoryIndexRequest):
        checks.require(bool(request.model_name), "model_name", "empty", '"name" or "name@version"')
        given = set(request.parameters)
        if isinstance(request, pb.RepositoryModelUnloadRequest):
            given -= {"unload_dependents"}
        known = "none; a bundle tells its own configuration"
        checks.require(not given, "parameters", ", ".join(sorted(given)[:8]), known)
    checks.raise_if_any()


def _failed(request: pb.ModelInferRequest, refusal: Refusal) -> bytes:
    """Return the response to a request that failed, the last to it."""
    response = pb.ModelInferResponse(id=request.id, model_name=request.model_name, model_version=request.model_version)
    response.parameters["triton_final_response"].bool_param = True
    response.parameters["request_id"].string_param = refusal.request_id
    message = f"{refusal.code.name}: {refusal.message}"
    return pb.ModelStreamInferResponse(error_message=message, infer_response=response).SerializeToString()
