"""Models with a chat template are talked to, turn by turn."""

import pytest
from playwright.async_api import expect

from service.client import Client
from tests.exported import Bundles
from tests.service.wire.running import serve
from tests.service.wire.test_chat import TEMPLATE, add_template
from tests.service.wire.versions import put

pytestmark = pytest.mark.asyncio(loop_scope="session")
ASKED = {"max_new_tokens": 20, "seed": 5}


async def test_messages_are_sent_and_the_answer_becomes_a_turn(reader, behind, bundles: Bundles, tmp_path):
    put(bundles, "gru", tmp_path, "talk", 1)
    add_template(tmp_path / "talk" / "1", TEMPLATE)
    async with serve(tmp_path) as server:
        page = await reader()
        await page.open(await behind(server.address), "talk@1")
        turns = page.page.locator(".turns li")
        await page.set(**ASKED)
        await turns.locator("textarea").fill("The quick?")
        await page.page.keyboard.press("Control+Enter")
        await page.finished()
        async with Client(server.address) as client:
            result = await client.generate("talk", [{"role": "user", "content": "The quick?"}], **ASKED).result()
        assert await page.text() == result.samples[0].text
        await page.page.get_by_role("button", name="Answer to this").click()
        await expect(turns).to_have_count(3)
        assert await turns.nth(1).locator("textarea").input_value() == result.samples[0].text
        assert [await turns.nth(place).locator("select").input_value() for place in range(3)] == [
            "user",
            "assistant",
            "user",
        ]
        await turns.nth(2).get_by_role("button", name="Remove").click()
        await expect(turns).to_have_count(2)
