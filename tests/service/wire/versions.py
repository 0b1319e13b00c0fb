"""Versions of models put into folders, as somebody who deploys them would, and the calls that change and tell them."""

import json
import shutil
from pathlib import Path

import grpc
import onnx
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2 as details
from grpc_status import rpc_status

from bundle.folder import digest
from protos.seqstream.v1 import model_pb2 as pb
from tests.exported import Bundles
from tests.service.wire.asking import ask, stop
from tests.service.wire.running import Running


def put(bundles: Bundles, label: str, folder: Path, name: str, version: int) -> Path:
    """Put the bundle `label` into `folder` as a version of `name`, whole at once, and return where it is."""
    path, beside = folder / name / str(version), folder / f".{name}-{version}"
    shutil.copytree(bundles.path(label), beside)
    manifest = json.loads((beside / "bundle.json").read_text())
    (beside / "bundle.json").write_text(json.dumps({**manifest, "name": name, "version": version}))
    path.parent.mkdir(parents=True, exist_ok=True)
    return beside.rename(path)


def spoil(path: Path) -> None:
    """Change one byte of a bundle's graph."""
    graph = bytearray((path / "step.onnx").read_bytes())
    graph[len(graph) // 2] ^= 1
    (path / "step.onnx").write_bytes(graph)


def cripple(path: Path) -> None:
    """Leave the embedding of a bundle's first token alone: its graph loads, and its steps fail."""
    model = onnx.load(path / "step.onnx")
    (lookup,) = (node for node in model.graph.node if node.op_type == "Gather" and "tokens" in node.input)
    (table,) = (tensor for tensor in model.graph.initializer if tensor.name == lookup.input[0])
    model.graph.initializer.append(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(table)[:1], "short"))
    lookup.input[0] = "short"
    onnx.save(model, path / "step.onnx")
    manifest = json.loads((path / "bundle.json").read_text())
    manifest["files"]["step.onnx"] = {
        "sha256": digest(path / "step.onnx"),
        "bytes": (path / "step.onnx").stat().st_size,
    }
    (path / "bundle.json").write_text(json.dumps(manifest))


def request(count: int, model: str = "mine"):
    return ask(model=model, stop=stop(count))


async def load(running: Running, model: str) -> pb.Model:
    return (await running.model.LoadModel(pb.LoadModelRequest(model=model))).model


async def unload(running: Running, model: str, seconds: float | None = None) -> None:
    drain = None if seconds is None else Duration(nanos=int(1e9 * seconds))
    await running.model.UnloadModel(pb.UnloadModelRequest(model=model, drain=drain))


async def states(running: Running) -> dict[str, str]:
    response = await running.model.ListModels(pb.ListModelsRequest())
    return {f"{one.name}@{one.version}": pb.ModelState.Name(one.state)[12:] for one in response.models}


async def refused(call) -> tuple[grpc.StatusCode, str, str]:
    """The status, the reason and the message of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = details.ErrorInfo()
    status = rpc_status.from_call(caught.value)
    assert status is not None
    assert any(detail.Unpack(info) for detail in status.details)
    return caught.value.code(), info.reason, caught.value.details() or ""


async def look_twice(running: Running) -> None:
    """Look into the folder until what has been copied into it is known to be whole."""
    await running.versions.look()
    await running.versions.look()


async def refused_stream(running: Running, asked) -> tuple[grpc.StatusCode, str, str]:
    call = running.generation.Generate(asked)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    return caught.value.code(), "", caught.value.details() or ""
