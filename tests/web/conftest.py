"""A browser, the built page, and servers behind it; skipped with the reason where something of that is missing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from benchmarks.balancers import BalancerError, find
from tests.service.wire.conftest import models_folder, process  # noqa: F401 (fixtures)
from tests.service.wire.running import Running, serve
from tests.web.browser import Reader
from tests.web.markup import MARKUP, export_markup
from tests.web.serving import NEEDED, build, served

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OLDEST_NODE = (20, 19)
DESKTOP = {"width": 1280, "height": 900}
# Where pictures of the page are kept.
PICTURES = Path(os.environ.get("SEQSTREAM_SCREENSHOTS", "build/web"))


@pytest.fixture(scope="session")
def dist() -> Path:
    """The built page."""
    for program in NEEDED:
        try:
            find(program)
        except BalancerError as missing:
            pytest.skip(str(missing))
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if tuple(map(int, version.lstrip("v").split(".")))[:2] < OLDEST_NODE:
        pytest.skip(f"Node is {version}; needed: 20.19 or newer")
    return build()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser():
    """Chromium, started once."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    async with async_playwright() as library:
        browser = await library.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def reader(browser):
    """Opens a page in a context of its own: language, size of the window and so on as playwright names them."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_page(**options) -> Reader:
            context = await browser.new_context(**{"viewport": DESKTOP, "locale": "en-US", **options})
            stack.push_async_callback(context.close)
            return Reader(await context.new_page())

        yield open_page


@pytest.fixture(scope="session")
def shown_models(models_folder: Path) -> Path:  # noqa: F811 (the fixture)
    """The models of the servers' own tests, and one that writes markup."""
    if not (models_folder / MARKUP).exists():
        export_markup(models_folder)
    return models_folder


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def behind(dist: Path):
    """Puts the page in front of servers. Returns its origin."""
    with contextlib.ExitStack() as stack:

        async def put(*servers: str) -> str:
            # Envoy asks the servers for their health, which may be of this event loop.
            return await asyncio.to_thread(stack.enter_context, served(dist, servers))

        yield put


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(dist: Path, shown_models: Path) -> AsyncIterator[Running]:
    """A server in this event loop."""
    async with serve(shown_models) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def origin(server: Running, behind: Callable) -> str:
    """Where the page in front of `server` is."""
    return await behind(server.address)


@pytest.fixture(scope="session")
def pictures() -> Path:
    """The folder for pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    return PICTURES
