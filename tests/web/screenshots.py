"""Takes the pictures of docs/web/: `make screenshots`, with the models of the demo.

python -m tests.web.screenshots models/demo
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path

from playwright.async_api import async_playwright

from tests.service.wire.running import serve
from tests.web.browser import Reader
from tests.web.conftest import FLAGS
from tests.web.serving import ROOT, build, find, served

FOLDER = ROOT / "docs" / "web"
WINDOW = {"width": 1200, "height": 940}
SHARP = 1.5
CODE = {
    "model": "stdlib@1",
    "text": "class Queue:\n    def ",
    "fields": {"temperature": 0.6, "seed": 7, "max_new_tokens": 110},
}
DATE = {"model": "dates@1", "text": "2026년 11월 22일 일요일", "fields": {"temperature": 0, "seed": 1}}


async def _generated(page: Reader, origin: str, asked: dict) -> None:
    await page.open(origin, asked["model"])
    await page.generate(asked["text"], **asked["fields"])


async def take(models: Path) -> None:
    """Take all pictures."""
    folder = build()
    FOLDER.mkdir(exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(models, most=4096))
        origin = await asyncio.to_thread(stack.enter_context, served(folder, [server.address]))
        library = await stack.enter_async_context(async_playwright())
        browser = await library.chromium.launch(executable_path=find("chromium"), args=FLAGS)
        stack.push_async_callback(browser.close)

        light = Reader(await browser.new_page(viewport=WINDOW, device_scale_factor=SHARP, locale="en-US"))
        await _generated(light, origin, CODE)
        await light.tokens.nth(4).hover()
        await light.page.screenshot(path=FOLDER / "generation.png")

        dark = Reader(
            await browser.new_page(viewport=WINDOW, device_scale_factor=SHARP, locale="ko-KR", color_scheme="dark")
        )
        await dark.open(origin, DATE["model"])
        await dark.set(**DATE["fields"])
        await dark.page.fill("#text", DATE["text"])
        await dark.page.keyboard.press("Control+Enter")
        board = dark.page.locator(".view").first.locator(".board")
        await board.wait_for()
        await board.scroll_into_view_if_needed()
        # To where the fourth character that is written looks.
        for key in ("ArrowRight", *["ArrowRight", "ArrowDown"] * 3):
            await board.press(key)
        await board.blur()
        await dark.page.locator(".view").first.evaluate("view => scrollTo(0, view.offsetTop - 16)")
        await dark.page.screenshot(path=FOLDER / "attention.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="take the pictures of docs/web/")
    parser.add_argument("models", type=Path, help="the folder of models that `make demo` has made")
    asyncio.run(take(parser.parse_args().models))
