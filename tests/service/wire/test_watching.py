"""Server processes that look into their folder: what they serve, what they tell, and how they end meanwhile."""

import asyncio
import os
import re
import signal
from pathlib import Path

import grpc
import pytest

from protos.seqstream.v1 import model_pb2 as pb
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub
from protos.seqstream.v1.model_pb2_grpc import ModelServiceStub
from tests.exported import Bundles
from tests.service.wire.asking import MOST_NEW_TOKENS, ask, read, stop, tokens_of
from tests.service.wire.running import PATIENCE, Process, start_process
from tests.service.wire.slow import LONG
from tests.service.wire.test_metrics import scrape
from tests.service.wire.versions import put, spoil

WATCH = ("--watch-seconds", "0.05")

# A server whose loading of further versions takes as long as it is let: it says so in its log, and waits.
LOADS_FOR_EVER = """
import logging, sys, time
from service.__main__ import main
from service.loading import Loader
load_aside = Loader.load_aside
def slower(*arguments):
    logging.getLogger("test").warning("opening")
    time.sleep(2)
    return load_aside(*arguments)
Loader.load_aside = slower
sys.exit(main())
"""


@pytest.fixture
def folder(bundles: Bundles, tmp_path: Path) -> Path:
    """A folder with the first version of a model."""
    put(bundles, "gru", tmp_path, "mine", 1)
    return tmp_path


async def model_of(stub: GenerationServiceStub) -> str:
    """Which version answers to the name alone."""
    events = [event async for event in stub.Generate(ask(model="mine", stop=stop(3)), timeout=PATIENCE)]
    return str(events[0].started.model)


async def until_served(stub: GenerationServiceStub, model: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while await model_of(stub) != model:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.02)


async def until_told(stub: ModelServiceStub, told: dict[int, int]) -> None:
    """Ask for the list until the states of the versions are these."""
    async with asyncio.timeout(PATIENCE):
        while {model.version: model.state for model in (await stub.ListModels(pb.ListModelsRequest())).models} != told:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def ended(server: Process) -> tuple[int, str]:
    return await asyncio.to_thread(server.wait)


async def test_a_version_put_into_the_folder_replaces_the_old_one_without_a_gap(
    process, bundles: Bundles, folder: Path
):
    server = process(*WATCH, *LONG, "--metrics-port", "0", folder=folder)
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub, models = GenerationServiceStub(channel), ModelServiceStub(channel)
        whole = ask(model="mine", stop=stop(3000))
        alone = tokens_of([event async for event in stub.Generate(whole, timeout=PATIENCE)])
        endless = stub.Generate(ask(model="mine", stop=stop(MOST_NEW_TOKENS)))
        await read(endless, 2)
        call = stub.Generate(whole, timeout=PATIENCE)
        first = await read(call, 2)
        put(bundles, "lstm", folder, "mine", 2)
        await until_served(stub, "mine@2")
        await until_told(models, {1: pb.MODEL_STATE_UNLOADING, 2: pb.MODEL_STATE_READY})
        assert (await scrape(server)).of("mine@1", "num_requests_running") >= 1
        assert tokens_of([*first, *[event async for event in call]]) == alone
        endless.cancel()
        await until_told(models, {2: pb.MODEL_STATE_READY})
        assert ("seqstream_rows", ("model_name", "mine@1")) not in (await scrape(server)).values
    server.terminate()
    code, log = await ended(server)
    assert code == 0
    assert re.search(r"mine@2: loading\n.*mine@2: serving\n.*mine@1: takes no new requests; \d run\n", log, re.DOTALL)
    assert "mine@1: gone" in log


async def test_a_bad_version_is_refused_and_the_old_one_goes_on(process, bundles: Bundles, folder: Path):
    server = process(*WATCH, *LONG, folder=folder)
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = GenerationServiceStub(channel)
        call = stub.Generate(ask(model="mine", stop=stop(MOST_NEW_TOKENS)))
        await read(call, 2)
        spoil(put(bundles, "lstm", folder, "mine", 2))
        await until_told(ModelServiceStub(channel), {1: pb.MODEL_STATE_READY, 2: pb.MODEL_STATE_FAILED})
        assert await model_of(stub) == "mine@1"
        await read(call, 2)
        call.cancel()
    server.terminate()
    code, log = await ended(server)
    assert (code, log.count("mine@2: not served")) == (0, 1)


async def test_calls_may_change_models_only_where_that_was_allowed(process, bundles: Bundles, folder: Path):
    put(bundles, "lstm", folder, "mine", 2)
    for flags, code in (((), grpc.StatusCode.PERMISSION_DENIED), (("--anonymous-role", "admin"), grpc.StatusCode.OK)):
        server = process("--keep-versions", "1", *flags, folder=folder)
        async with grpc.aio.insecure_channel(server.address) as channel:
            call = ModelServiceStub(channel).LoadModel(pb.LoadModelRequest(model="mine@1"))
            assert await call.code() is code


async def test_a_server_starts_with_an_older_version_where_the_newest_is_bad(process, bundles: Bundles, folder: Path):
    spoil(put(bundles, "lstm", folder, "mine", 2))
    server = process(*WATCH, folder=folder)
    async with grpc.aio.insecure_channel(server.address) as channel:
        assert await model_of(GenerationServiceStub(channel)) == "mine@1"
        await until_told(ModelServiceStub(channel), {1: pb.MODEL_STATE_READY, 2: pb.MODEL_STATE_FAILED})


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_server_that_ends_while_it_loads_starts_again_with_what_it_loaded(
    bundles: Bundles, folder: Path, signal_number: signal.Signals
):
    server = start_process(folder, 0, WATCH, ("-c", LOADS_FOR_EVER))
    async with grpc.aio.insecure_channel(server.address) as channel:
        put(bundles, "lstm", folder, "mine", 2)
        await until_told(ModelServiceStub(channel), {1: pb.MODEL_STATE_READY, 2: pb.MODEL_STATE_LOADING})
        before = sorted(os.listdir(folder / "mine" / "2"))  # noqa: PTH208
        server.popen.send_signal(signal_number)
        code, _ = await ended(server)
        assert code == (0 if signal_number is signal.SIGTERM else -signal.SIGKILL)
    assert sorted(os.listdir(folder / "mine" / "2")) == before  # noqa: PTH208
    again = start_process(folder, 0, WATCH)
    async with grpc.aio.insecure_channel(again.address) as channel:
        assert await model_of(GenerationServiceStub(channel)) == "mine@2"
    again.kill()
