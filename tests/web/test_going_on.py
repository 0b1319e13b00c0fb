"""Streams whose server dies go on elsewhere, in the browser, too."""

import asyncio
import os
import signal

import pytest
from playwright.async_api import expect

from service.client import Client
from tests.service.wire.slow import LONG, SLOW
from tests.service.wire.test_behind_proxies import cpu_seconds

pytestmark = pytest.mark.asyncio(loop_scope="session")
ASKED = {"max_new_tokens": 75, "seed": 11}
PROMPT = "The quick 안녕"


async def test_a_stream_whose_server_is_killed_goes_on_with_the_same_tokens(reader, behind, process, server):
    servers = [await asyncio.to_thread(process, *LONG, program=("-c", SLOW)) for _ in range(2)]
    page = await reader()
    await page.open(await behind(*(each.address for each in servers)), "gru@2")
    before = {each.popen.pid: cpu_seconds(each.popen.pid) for each in servers}
    await page.set(**ASKED)
    await page.page.fill("#text", PROMPT)
    await page.page.locator("[id='stop.ignore_end_of_sequence']").evaluate("box => { box.checked = true }")
    await page.page.keyboard.press("Control+Enter")
    # From its 60th token on a stream is slow; then it is killed.
    await expect(page.tokens.nth(62)).to_be_attached()
    busiest = max(before, key=lambda pid: cpu_seconds(pid) - before[pid])
    os.kill(busiest, signal.SIGKILL)
    await page.finished()
    async with Client(server.address) as client:
        undisturbed = await client.generate("gru", PROMPT, **ASKED, ignore_end_of_sequence=True).result()
    assert await page.text() == undisturbed.samples[0].text
    await expect(page.tokens).to_have_count(ASKED["max_new_tokens"])
    await expect(page.figure("times continued")).to_have_text("1")
