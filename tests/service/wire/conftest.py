"""Real servers over tiny bundles: in the test's own event loop, or as processes of their own."""

import asyncio
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from tests.exported import Bundles
from tests.service.wire.running import SERVICE, Process, serve, start_process
from tests.service.wire.tensors import Triton, in_tritons
from tests.service.wire.versions import put

LABELS = ("gru", "transformer-lm", "transformer")


@pytest.fixture(scope="session")
def models_folder(bundles: Bundles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a GRU, a Transformer with a context of 64, and one with a source of 40."""
    folder = tmp_path_factory.mktemp("models")
    for label in LABELS:
        shutil.copytree(bundles.path(label), folder / label / "1")
    newer = folder / "gru" / "2"
    shutil.copytree(folder / "gru" / "1", newer)
    manifest = json.loads((newer / "bundle.json").read_text())
    (newer / "bundle.json").write_text(json.dumps({**manifest, "version": 2}))
    return folder


@pytest.fixture
async def running(models_folder: Path):
    """A server with four rows for each model."""
    async with serve(models_folder) as server:
        yield server


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture):
    """Returns what the log tells of the last call."""
    caplog.set_level(logging.INFO, "service.calls")

    async def last() -> dict[str, object]:
        for _ in range(100):  # a client has its status before the server has written its line
            if lines := [vars(record) for record in caplog.records if record.message == "call"]:
                caplog.clear()
                return lines[-1]
            await asyncio.sleep(0.02)
        raise AssertionError("no call has ended")

    return last


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drafts as long as they may be, whatever steps cost on this machine now."""
    monkeypatch.setattr("service.drafting.lengths", lambda bets, _: [len(bet.gains) - 1 for bet in bets])


@pytest.fixture
def process(models_folder: Path):
    """Starts servers as processes, and ends those that are left."""
    processes: list[Process] = []

    def start(*flags: str, port: int = 0, folder: Path = models_folder, program: Sequence[str] = SERVICE) -> Process:
        processes.append(start_process(folder, port, flags, program))
        return processes[-1]

    yield start
    for left in processes:
        left.kill()


@pytest.fixture
def folder(bundles: Bundles, tmp_path: Path) -> Path:
    """A folder with the first version of a model."""
    for label in ("lstm", "transformer-lm", "gru-seq2seq"):
        bundles.path(label)  # exported while nothing waits
    put(bundles, "gru", tmp_path, "mine", 1)
    return tmp_path


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.fixture
def triton(elsewhere: ProcessPoolExecutor) -> Triton:
    """Calls a function of tritons.py in another process."""
    if find_spec("tritonclient") is None:
        pytest.skip("tritonclient is not installed")

    async def call(function: str, *arguments: Any, **keywords: Any) -> Any:
        work = partial(in_tritons, function, *arguments, **keywords)
        return await asyncio.get_running_loop().run_in_executor(elsewhere, work)

    return call
