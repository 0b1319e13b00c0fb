"""The example client for the browser: built as its README says, run in Chromium against a real server."""

import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.async_api import expect

from service.client import Client
from tests.service.wire.running import Running
from tests.web.serving import ROOT, WEB, files

pytestmark = pytest.mark.asyncio(loop_scope="session")
EXAMPLE = "examples/browser"


@pytest.fixture(scope="module")
def example(dist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built in a copy of its folder with the packages of the page, which are the same."""
    root = tmp_path_factory.mktemp("example")
    shutil.copytree(ROOT / "protos", root / "protos", ignore=shutil.ignore_patterns("*.py*", "__pycache__"))
    shutil.copy(ROOT / "buf.yaml", root)
    shutil.copytree(ROOT / EXAMPLE, root / EXAMPLE, ignore=shutil.ignore_patterns("node_modules", "generated"))
    (root / EXAMPLE / "node_modules").symlink_to(WEB / "node_modules")
    for command in (["npx", "buf", "generate"], ["npx", "vite", "build", "--base", "./"]):
        subprocess.run(command, cwd=root / EXAMPLE, check=True, capture_output=True, timeout=120)
    return root / EXAMPLE / "dist"


async def test_it_streams_and_tells_errors(reader, example: Path, origin: str, server: Running):
    page = (await reader(bypass_csp=True)).page
    with files(example) as address:
        await page.goto(f"http://{address}/")
        await page.fill("[name=server]", origin)
        await page.fill("[name=model]", "gru")
        await page.fill("[name=text]", "The quick ")
        await page.click("text=Generate")
        status = page.get_by_role("status")
        await expect(status).to_contain_text("seed")
        count, reason, seed = (await status.inner_text()).split(", ")
        async with Client(server.address) as client:
            options = {"max_new_tokens": 100, "temperature": 0.8, "seed": int(seed.removeprefix("seed "))}
            result = await client.generate("gru", "The quick ", **options).result()
        (sample,) = result.samples
        assert await page.locator("pre").text_content() == "The quick " + sample.text
        assert (count, reason) == (f"{len(sample.token_ids)} tokens", sample.finished.reason)
        await page.fill("[name=model]", "nope")
        await page.click("text=Generate")
        await expect(status).to_contain_text("no model 'nope'; there are: gru@1, gru@2")
