"""The page in a real browser, in front of a real server behind a real Envoy."""

import pytest
from playwright.async_api import expect

from protos.seqstream.v1 import model_pb2
from service.client import Client
from tests.service.wire.running import until
from tests.web.markup import TEXT

pytestmark = pytest.mark.asyncio(loop_scope="session")
ASKED = {"max_new_tokens": 40, "seed": 7, "temperature": 0.8}
ENDLESS = {"max_new_tokens": 100_000, "seed": 1}


async def test_it_lists_the_models_and_what_is_known_of_them(reader, origin: str, server):
    page = await reader()
    await page.open(origin, "transformer@1")
    names = await page.page.locator(".model strong").all_inner_texts()
    assert names == ["gru@1", "gru@2", "markup@1", "transformer@1", "transformer-lm@1"]
    told = (await server.model.GetModel(model_pb2.GetModelRequest(model="transformer"))).model
    about = page.page.locator(".facts-of-model")
    for fact in ("transformer", "fp32", f"{told.source_limit}", f"{told.context_limit}", "cpu"):
        await expect(about.locator(".facts")).to_contain_text(fact)
    await expect(about).to_contain_text("loss1.5")
    rows = about.locator("section", has_text="Parity").locator("tbody tr")
    assert await rows.count() == len(told.parity.checks)
    await expect(rows.first).to_contain_text(told.parity.checks[0].name)
    assert page.errors == []


async def test_it_streams_what_any_client_gets_and_tells_what_it_took(reader, origin: str, server, pictures):
    page = await reader()
    await page.open(origin, "gru@2")
    await page.generate("The quick 안녕 ", **ASKED)
    async with Client(server.address) as client:
        result = await client.generate("gru", "The quick 안녕 ", **ASKED).result()
    (sample,) = result.samples
    assert await page.text() == sample.text
    await expect(page.tokens).to_have_count(len(sample.token_ids))
    await expect(page.figure("finish reason")).to_contain_text("max tokens")
    await expect(page.figure("seed")).to_contain_text("7")
    await expect(page.figure("prompt tokens")).to_have_text(str(result.started.prompt_tokens))
    await expect(page.figure("time to first token")).to_contain_text("ms")
    assert float((await page.figure("tokens/s").inner_text()).replace(",", "")) > 1
    await page.page.screenshot(path=pictures / "generation.png", full_page=True)
    assert page.errors == []


async def test_a_seed_that_was_drawn_can_be_had_again(reader, origin: str):
    page = await reader()
    await page.open(origin, "gru@2")
    await page.generate(max_new_tokens=30)
    first = await page.text()
    await page.page.get_by_role("button", name="Repeat").click()
    await page.generate()
    assert await page.text() == first


async def test_a_token_shows_what_else_could_have_stood_there(reader, origin: str, server):
    page = await reader()
    await page.open(origin, "gru@2")
    await page.generate(**ASKED)
    await page.tokens.nth(5).hover()
    entries = page.page.locator(".alternatives li")
    async with Client(server.address) as client:
        options = {**ASKED, "logprobs": True, "top_logprobs": 5}
        told = (await client.generate("gru", "The quick ", **options).result()).samples[0].logprobs[5]
    others = {alternative.token_id for alternative in told.alternatives} | {told.token_id}
    await expect(entries).to_have_count(len(others))
    await expect(page.page.locator(".alternatives .drawn")).to_have_count(1)
    likeliest = told.alternatives[0]
    await expect(entries.first).to_have_attribute("title", f"token {likeliest.token_id}")
    surprises = await page.tokens.evaluate_all("all => all.map(each => each.style.getPropertyValue('--surprise'))")
    assert all(0 <= float(each) <= 1 for each in surprises)
    assert len(set(surprises)) > 3


async def test_stopping_frees_the_row_on_the_server(reader, origin: str, server):
    page = await reader()
    await page.open(origin, "gru@2")
    await page.set(**ENDLESS)
    await page.page.locator("label[for='stop.ignore_end_of_sequence']").evaluate(
        "label => label.closest('details').open = true"
    )
    await page.page.check("[id='stop.ignore_end_of_sequence']")
    await page.page.fill("#text", "The quick ")
    await page.page.keyboard.press("Control+Enter")
    await expect(page.tokens.nth(20)).to_be_attached()
    assert not server.idle()
    await page.page.get_by_role("button", name="Stop").click()
    await until(server.idle)
    await expect(page.figure("finish reason")).to_have_text("stopped")
    assert await page.tokens.count() < ENDLESS["max_new_tokens"]


async def test_a_stop_string_may_hold_the_end_of_a_line(reader, origin: str):
    page = await reader()
    await page.open(origin, "markup@1")
    await page.set(stop_strings="onerror\\n\nimg")
    await page.generate("", temperature=0)
    assert await page.text() == "<"
    await expect(page.figure("finish reason")).to_have_text("stop stringimg")


async def test_errors_are_told_as_the_server_words_them_beside_their_fields(reader, origin: str):
    page = await reader()
    await page.open(origin, "gru@2")
    await page.set(temperature=101, top_p=0)
    await page.page.fill("#text", "The")
    await page.page.keyboard.press("Control+Enter")
    notice = page.page.get_by_role("alert")
    await expect(notice).to_contain_text("INVALID_ARGUMENT")
    await expect(notice).to_contain_text("sampling.temperature is 101; allowed: 0 to 100")
    await expect(notice).to_contain_text("sampling.top_p is 0; allowed: over 0 to 1")
    field = page.page.locator("[id='sampling.temperature']")
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_be_focused()
    await field.fill("1")
    await expect(field).not_to_have_attribute("aria-invalid", "true")


async def test_what_is_no_number_is_not_sent(reader, origin: str):
    page = await reader()
    await page.open(origin, "gru@2")
    await page.set(top_k="many", seed="-1")
    await page.page.keyboard.press("Control+Enter")
    notice = page.page.get_by_role("alert")
    await expect(notice).to_contain_text("sampling.top_k is “many”; allowed: a whole number, 0 or more")
    await expect(notice).to_contain_text("seed is “-1”")


async def test_markup_that_a_model_writes_is_text(reader, origin: str):
    page = await reader()
    dialogs: list[str] = []
    page.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    await page.open(origin, "markup@1")
    await page.generate("", temperature=0)
    assert await page.text() == TEXT
    for place in range(len(TEXT)):
        await page.page.locator(".output").press("ArrowRight")
        assert place >= 0
    assert await page.page.locator("main img, main script, main b").count() == 0
    assert (dialogs, page.errors) == ([], [])


async def test_the_browser_runs_nothing_but_the_files_of_the_page(reader, origin: str):
    page = await reader()
    await page.open(origin)
    ran = """() => { const script = document.createElement("script"); script.text = "window.ran = true";
             document.head.append(script); return window.ran === true }"""
    with pytest.raises(Exception, match="TrustedScript"):
        await page.page.evaluate(ran)
    with pytest.raises(Exception, match="TrustedHTML"):
        await page.page.evaluate("document.body.innerHTML = '<b>x</b>'")
    called = "fetch('http://127.0.0.1:9/').then(() => 'sent', error => error.name)"
    assert await page.page.evaluate(called) == "TypeError"
    assert any("Content Security Policy" in error for error in page.errors)
