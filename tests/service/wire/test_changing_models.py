"""Versions that are loaded and unloaded by calls while streams run."""

import asyncio
import json
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.seqstream.v1 import model_pb2 as pb
from service.client import Client
from service.failures import FailedPrecondition, NotFound
from service.identity import Role
from tests.exported import Bundles
from tests.service.terminal.typed import run
from tests.service.wire.asking import endless, read
from tests.service.wire.running import serve, until
from tests.service.wire.versions import (
    load,
    look_twice,
    put,
    refused,
    refused_stream,
    request,
    spoil,
    states,
    unload,
)

HEALTH = health_pb2.HealthCheckResponse


async def test_a_version_that_is_loaded_by_a_call_can_be_named_until_it_is_unloaded(bundles: Bundles, folder: Path):
    put(bundles, "lstm", folder, "mine", 2)
    async with serve(folder, keep=1, role=Role.ADMIN) as running:
        assert await states(running) == {"mine@2": "READY"}
        assert (await load(running, "mine@1")).version == 1
        assert (await load(running, "mine@1")).state == pb.MODEL_STATE_READY
        await look_twice(running)
        for model, answers in (("mine", "mine@2"), ("mine@1", "mine@1"), ("mine@2", "mine@2")):
            assert (await running.events(request(5, model)))[0].started.model == answers
        await unload(running, "mine@2")
        await look_twice(running)
        assert await states(running) == {"mine@1": "READY"}
        assert (await running.events(request(5)))[0].started.model == "mine@1"


async def test_unloading_waits_for_streams_and_refuses_new_ones(bundles: Bundles, folder: Path):
    put(bundles, "lstm", folder, "mine", 2)
    async with serve(folder, role=Role.ADMIN) as running:
        call = running.generation.Generate(endless(model="mine@2"))
        await read(call, 2)
        unloading = asyncio.ensure_future(unload(running, "mine@2"))
        await until(lambda: bool(running.models.leaving))
        assert (await refused_stream(running, request(5, "mine@2")))[0] is grpc.StatusCode.NOT_FOUND
        assert (await running.events(request(5)))[0].started.model == "mine@1"
        status, reason, _ = await refused(running.model.LoadModel(pb.LoadModelRequest(model="mine@2")))
        assert (status, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_UNLOADING")
        assert not unloading.done()
        call.cancel()
        await unloading
        assert await states(running) == {"mine@1": "READY"}


async def test_unloading_ends_streams_after_the_time_that_they_have(bundles: Bundles, folder: Path):
    put(bundles, "lstm", folder, "mine", 2)
    async with serve(folder, role=Role.ADMIN) as running:
        call = running.generation.Generate(endless(model="mine@2"))
        await read(call, 2)
        await unload(running, "mine@2", 0.05)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await states(running) == {"mine@1": "READY"}


async def test_calls_that_change_models_are_refused_with_reasons(bundles: Bundles, folder: Path):
    async with serve(folder, role=Role.ADMIN) as running:
        model, (missing, last) = running.model, (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION)
        for call, expected in [
            (model.UnloadModel(pb.UnloadModelRequest(model="mine@1")), (last, "LAST_MODEL")),
            (model.UnloadModel(pb.UnloadModelRequest(model="mine@9")), (missing, "MODEL_NOT_FOUND")),
            (model.LoadModel(pb.LoadModelRequest(model="mine@9")), (missing, "MODEL_NOT_FOUND")),
            (model.LoadModel(pb.LoadModelRequest(model="../mine@1")), (missing, "MODEL_NOT_FOUND")),
        ]:
            assert (await refused(call))[:2] == expected
        spoil(put(bundles, "gru", folder, "mine", 4))
        status, reason, message = await refused(model.LoadModel(pb.LoadModelRequest(model="mine")))
        assert (status, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BAD_BUNDLE")
        assert message == "mine@4 cannot be served: mine/4/step.onnx: SHA-256 differs from bundle.json"
        for bad in (
            pb.UnloadModelRequest(model="mine"),
            pb.UnloadModelRequest(model="mine@1", drain=Duration(seconds=-1)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await model.UnloadModel(bad)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (await running.events(request(5)))[0].started.model == "mine@1"


async def test_only_admins_change_models(folder: Path):
    async with serve(folder) as running:
        for call in (
            running.model.LoadModel(pb.LoadModelRequest(model="mine@1")),
            running.model.UnloadModel(pb.UnloadModelRequest(model="mine@1")),
        ):
            assert (await refused(call))[:2] == (grpc.StatusCode.PERMISSION_DENIED, "ADMIN_REQUIRED")


async def test_health_follows_the_models(bundles: Bundles, folder: Path):
    async with serve(folder, role=Role.ADMIN) as running:
        health = health_pb2_grpc.HealthStub(running.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service="mine@2"))
        assert (await watch.read()).status == HEALTH.SERVICE_UNKNOWN
        put(bundles, "lstm", folder, "mine", 2)
        await load(running, "mine")
        assert (await watch.read()).status == HEALTH.SERVING
        await unload(running, "mine@2")
        assert (await watch.read()).status == HEALTH.SERVICE_UNKNOWN
        for name in ("", "mine", "mine@1"):
            assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == HEALTH.SERVING
        watch.cancel()


async def test_the_client_loads_lists_and_unloads(bundles: Bundles, folder: Path):
    async with serve(folder, role=Role.ADMIN) as running, Client(running.address) as client:
        put(bundles, "lstm", folder, "mine", 2)
        spoil(put(bundles, "gru", folder, "mine", 3))
        loaded = await client.load("mine@2")
        assert (loaded.version, loaded.family, loaded.state) == (2, "lstm", "READY")
        with pytest.raises(FailedPrecondition, match=r"mine@3 cannot be served: mine/3/step\.onnx: SHA-256 differs"):
            await client.load("mine")
        told = [(model.version, model.state, model.error) for model in await client.models()]
        bad = "mine/3/step.onnx: SHA-256 differs from bundle.json"
        assert told == [(1, "READY", ""), (2, "READY", ""), (3, "FAILED", bad)]
        await client.unload("mine@1", drain=0)
        await client.unload("mine@3")
        assert [model.version for model in await client.models()] == [2]
        with pytest.raises(NotFound):
            await client.unload("mine@9")


async def test_the_terminal_loads_lists_and_unloads(bundles: Bundles, folder: Path):
    async with serve(folder, role=Role.ADMIN) as running:
        at = ("--address", running.address)
        put(bundles, "lstm", folder, "mine", 2)
        spoil(put(bundles, "gru", folder, "mine", 3))
        code, output, _ = await run("load", "mine@2", "--json", *at)
        assert (code, [(one["version"], one["family"]) for one in json.loads(output)]) == (0, [(2, "lstm")])
        bad = "mine/3/step.onnx: SHA-256 differs from bundle.json"
        assert await run("load", "mine", *at) == (1, "", f"error: mine@3 cannot be served: {bad}\n")
        assert await run("unload", "mine@1", "--drain", "9", *at) == (0, "", "")
        code, output, _ = await run("models", *at)
        _, _, *rows, error = output.splitlines()
        assert [(row.split()[0], row.split()[-1]) for row in rows] == [("mine@2", "ready"), ("mine@3", "failed")]
        assert (code, error) == (0, f"mine@3: {bad}")
