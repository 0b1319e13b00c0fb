"""What the Open Inference Protocol tells of models: their tensors, what they have done, and which there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from protos.inference import inference_pb2 as pb
from service.models import ServedModel
from service.statistics import Spent
from service.version import State, Version
from service.wire.infer_request import INPUTS
from service.wire.tensor_reply import OUTPUTS
from service.wire.tensors import Kind

_PLATFORM, _BACKEND = "onnxruntime_onnx", "onnxruntime"
_TYPES = {
    "BOOL": pb.TYPE_BOOL,
    "BYTES": pb.TYPE_STRING,
    "FP32": pb.TYPE_FP32,
    "INT32": pb.TYPE_INT32,
}
# FAILED is what Triton calls a version that is there and cannot be had.
_STATES = {State.READY: "READY", State.LOADING: "LOADING", State.UNLOADING: "UNLOADING", State.FAILED: "UNAVAILABLE"}


def metadata(model: ServedModel, versions: Iterable[int]) -> pb.ModelMetadataResponse:
    """Return the tensors of a model. versions: of it that are served."""
    return pb.ModelMetadataResponse(
        name=model.manifest.name,
        versions=list(map(str, versions)),
        platform=_PLATFORM,
        inputs=_tensors(INPUTS),
        outputs=_tensors(OUTPUTS),
    )


def config(model: ServedModel) -> pb.ModelConfig:
    """Return a model as Triton would be configured for it."""
    manifest = model.manifest
    known = {
        "family": manifest.family,
        "precision": manifest.precision,
        "vocabulary_size": manifest.vocabulary_size,
        "context_limit": manifest.context_limit,
        "source_limit": manifest.source_limit,
    }
    message = pb.ModelConfig(name=manifest.name, platform=_PLATFORM, backend=_BACKEND, max_batch_size=0)
    message.model_transaction_policy.decoupled = True
    for name, kind in INPUTS.items():
        message.input.add(name=name, data_type=_TYPES[kind.datatypes[0]], dims=kind.shape, optional=True)
    for name, kind in OUTPUTS.items():
        message.output.add(name=name, data_type=_TYPES[kind.datatypes[0]], dims=kind.shape)
    for name, value in known.items():
        if value is not None:
            message.parameters[name].string_value = str(value)
    return message


def statistics(model: ServedModel) -> pb.ModelStatistics:
    """Return what a version has done since it was loaded."""
    manifest, known, load = model.manifest, model.statistics, model.engine.load()
    kind = "GPU" if model.placement.device.startswith("cuda") else "CPU"
    return pb.ModelStatistics(
        name=manifest.name,
        version=str(manifest.version),
        last_inference=int(known.last * 1e3),
        inference_count=known.succeeded.count,
        execution_count=model.engine.work().steps,
        inference_stats=pb.InferStatistics(
            success=_spent(known.succeeded),
            fail=_spent(known.failed),
            queue=_spent(known.queued),
            compute_infer=_spent(known.computed),
        ),
        memory_usage=[pb.MemoryUsage(type=kind, id=0, byte_size=load.rows * load.state_bytes_per_row)],
    )


def index(served: Iterable[ServedModel], others: Iterable[Version]) -> pb.RepositoryIndexResponse:
    """Return every version, sorted by name and version. others: those that are not served."""
    ready = [Version(model.manifest.name, model.manifest.version, State.READY) for model in served]
    response = pb.RepositoryIndexResponse()
    for one in sorted([*ready, *others], key=lambda version: (version.name, version.number)):
        response.models.add(name=one.name, version=str(one.number), state=_STATES[one.state], reason=one.error)
    return response


def _tensors(kinds: Mapping[str, Kind]) -> Iterator[pb.ModelMetadataResponse.TensorMetadata]:
    for name, kind in kinds.items():
        yield pb.ModelMetadataResponse.TensorMetadata(name=name, datatype=kind.datatypes[0], shape=kind.shape)


def _spent(spent: Spent) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=spent.count, ns=int(spent.seconds * 1e9))
