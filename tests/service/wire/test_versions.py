"""Versions that come and go in the folder while streams run."""

import asyncio
import logging
import os
import weakref
from pathlib import Path

import grpc
import pytest

from protos.seqstream.v1 import model_pb2 as pb
from service.identity import Role
from tests.exported import Bundles
from tests.service.wire.asking import ask, endless, read, stop, tokens_of
from tests.service.wire.running import serve, until
from tests.service.wire.versions import (
    cripple,
    look_twice,
    put,
    refused,
    refused_stream,
    request,
    spoil,
    states,
    unload,
)


async def test_a_new_version_takes_new_requests_while_a_stream_ends_on_the_old_one_with_the_same_tokens(
    bundles: Bundles, folder: Path
):
    async with serve(folder, keep=1) as running:
        long = endless(model="mine")
        long.stop.max_new_tokens = 2000  # more than a connection holds: it ends only because it is read to its end
        alone = tokens_of(await running.events(long))
        call = running.generation.Generate(long)
        first = await read(call, 3)
        put(bundles, "lstm", folder, "mine", 2)
        await look_twice(running)
        assert await states(running) == {"mine@1": "UNLOADING", "mine@2": "READY"}
        events = await running.events(request(20))
        assert events[0].started.model == "mine@2"
        assert tokens_of(events) != alone[:20]  # the prompt and the seed are the same
        rest = [event async for event in call]
        assert first[0].started.model == "mine@1"
        assert tokens_of([*first, *rest]) == alone
        await until(lambda: not running.versions.others())
        assert await states(running) == {"mine@2": "READY"}


async def test_a_version_that_has_gone_is_freed(bundles: Bundles, folder: Path):
    async with serve(folder, keep=1) as running:
        model = running.models.find("mine@1")
        left = [weakref.ref(model.engine), weakref.ref(model.engine.runner), weakref.ref(model.tokenizer)]
        del model
        await running.events(request(20))
        put(bundles, "gru-seq2seq", folder, "mine", 2)
        await look_twice(running)
        await until(lambda: not running.versions.others())
        await until(lambda: not any(one() for one in left))


@pytest.mark.usefixtures("eager")
async def test_a_drafter_that_has_gone_is_freed_and_its_streams_go_on(bundles: Bundles, folder: Path):
    put(bundles, "transformer-lm", folder, "large", 1)
    put(bundles, "transformer-lm", folder, "small", 1)
    asked = ask(model="large", stop=stop(50), sampling={"temperature": 0})
    async with serve(folder, role=Role.ADMIN) as running:
        alone = tokens_of(await running.events(asked))
        asked.drafts.model = "small"
        runner = weakref.ref(running.models.find("small").engine.runner)
        call = running.generation.Generate(asked)
        first = await read(call, 2)
        await unload(running, "small@1")
        assert tokens_of([*first, *[event async for event in call]]) == alone
        await until(lambda: runner() is None)
        status, _, _ = await refused_stream(running, asked)
        assert status is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_bad_version_is_told_once_and_the_old_one_goes_on(
    bundles: Bundles, folder: Path, caplog: pytest.LogCaptureFixture
):
    async with serve(folder, keep=1) as running:
        spoil(put(bundles, "lstm", folder, "mine", 2))
        with caplog.at_level(logging.ERROR):
            for _ in range(4):
                await running.versions.look()
        assert [record.getMessage() for record in caplog.records] == [
            f"mine@2: not served: {folder}/mine/2/step.onnx: SHA-256 differs from bundle.json"
        ]
        assert await states(running) == {"mine@1": "READY", "mine@2": "FAILED"}
        told = (await running.model.GetModel(pb.GetModelRequest(model="mine@2"))).model
        assert told.error == "mine/2/step.onnx: SHA-256 differs from bundle.json"
        assert (await running.events(request(5)))[0].started.model == "mine@1"


async def test_a_version_whose_steps_fail_is_not_served(bundles: Bundles, folder: Path):
    async with serve(folder, role=Role.ADMIN) as running:
        cripple(put(bundles, "gru", folder, "mine", 2))
        status, reason, message = await refused(running.model.LoadModel(pb.LoadModelRequest(model="mine")))
        assert (status, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BAD_BUNDLE")
        assert message.startswith("mine@2 cannot be served: mine/2/step.onnx: does not run: ")
        assert (await running.events(request(5)))[0].started.model == "mine@1"


async def test_a_version_that_is_still_copied_is_waited_for_in_silence(
    bundles: Bundles, folder: Path, caplog: pytest.LogCaptureFixture
):
    async with serve(folder, keep=1) as running:
        path = put(bundles, "lstm", folder, "mine", 2)
        whole = (path / "step.onnx").read_bytes()
        for share in range(1, 5):
            (path / "step.onnx").write_bytes(whole[: len(whole) * share // 5])
            await running.versions.look()
        (path / "step.onnx").write_bytes(whole)
        await look_twice(running)
        assert (await running.events(request(5)))[0].started.model == "mine@2"
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_bad_version_that_is_mended_is_served(bundles: Bundles, folder: Path):
    async with serve(folder, keep=1) as running:
        path = put(bundles, "lstm", folder, "mine", 2)
        whole = (path / "step.onnx").read_bytes()
        spoil(path)
        await look_twice(running)
        assert (await states(running))["mine@2"] == "FAILED"
        (path / "step.onnx").write_bytes(whole)
        await look_twice(running)
        assert (await states(running))["mine@2"] == "READY"


async def test_a_folder_that_is_away_changes_nothing(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    async with serve(folder, keep=1, role=Role.ADMIN) as running:
        watching = asyncio.ensure_future(running.versions.watch(0.01))
        away = tmp_path_factory.mktemp("away") / "models"
        os.rename(folder, away)  # noqa: PTH104
        await asyncio.sleep(0.1)
        assert (await running.events(request(5)))[0].started.model == "mine@1"
        loading = running.model.LoadModel(pb.LoadModelRequest(model="mine@2"))
        assert (await refused(loading))[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "BAD_BUNDLE")
        os.rename(away, folder)  # noqa: PTH104
        assert not watching.done()
        watching.cancel()
