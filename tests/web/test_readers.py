"""Readers: by keyboard alone, on a phone, in Korean, in the dark, and those who have to say who they are."""

import re

import pytest
from playwright.async_api import expect

from service.token import new_token
from service.wire.calls import Calls
from tests.service.wire.running import serve, until
from tests.service.wire.showing import access, entry

pytestmark = pytest.mark.asyncio(loop_scope="session")
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


async def test_everything_is_reached_by_keyboard_and_seen_to_be(reader, origin: str, server):
    page = await reader()
    await page.open(origin, "gru@2")
    await page.set(max_new_tokens=30)
    keyboard = page.page.keyboard
    seen: dict[str, str] = {}
    for _ in range(80):
        await keyboard.press("Tab")
        name, outline = await page.page.evaluate(
            """() => { const e = document.activeElement;
                 const name = e.id || e.textContent.slice(0, 12) || e.className || e.tagName;
                 return [name, getComputedStyle(e).outlineStyle] }"""
        )
        if not await page.page.evaluate("document.activeElement === document.body"):
            seen[name] = outline
    assert {"text", "sampling.temperature", "seed", "English", "output"} <= seen.keys(), seen
    assert set(seen.values()) == {"solid"}, seen

    await page.page.locator("#text").focus()
    await keyboard.type("The quick ")
    await keyboard.press("Control+Enter")
    await page.finished()
    await page.page.locator(".output").focus()
    await keyboard.press("ArrowRight")
    await keyboard.press("End")
    await expect(page.tokens.last).to_have_class(re.compile(r"\bchosen\b"))
    await expect(page.page.locator(".alternatives .drawn")).to_have_count(1)
    await expect(page.page.locator(".alternatives ol")).to_have_attribute("aria-live", "polite")

    await page.set(max_new_tokens=100_000)
    await page.page.locator("[id='stop.ignore_end_of_sequence']").evaluate("box => { box.checked = true }")
    await keyboard.press("Control+Enter")
    await expect(page.tokens.nth(10)).to_be_attached()
    await keyboard.press("Escape")
    await until(server.idle)
    await expect(page.figure("finish reason")).to_have_text("stopped")
    assert page.errors == []


async def test_screen_readers_hear_the_beginning_and_the_end_and_not_every_token(reader, origin: str):
    page = await reader()
    await page.open(origin, "gru@2")
    heard = """() => { window.heard = []; const status = document.querySelector("[role=status]");
      const hear = () => window.heard.push(status.textContent);
      new MutationObserver(hear).observe(status, { childList: true, subtree: true }) }"""
    await page.page.evaluate(heard)
    await page.generate(max_new_tokens=60, seed=3)
    count = await page.tokens.count()
    assert await page.page.evaluate("window.heard") == ["Generating", f"Done: {count} tokens"]
    assert await page.page.locator(".output[aria-live]").count() == 0
    unnamed = await page.page.evaluate(
        """() => [...document.querySelectorAll("main input, main textarea, main select, button")].filter(
             e => !e.labels?.length && !e.ariaLabel && !e.textContent.trim()).map(e => e.outerHTML)"""
    )
    assert unnamed == []


async def test_a_phone_has_room_for_all_of_it(reader, origin: str, pictures):
    for locale in ("en-US", "ko-KR"):
        page = await reader(locale=locale, **PHONE)
        await page.open(origin, "transformer@1")
        await page.set(max_new_tokens=40, seed=5)
        await page.page.fill("#text", "2026년 11월 22일 일요일")
        await page.page.locator(".primary").first.tap()
        await expect(page.tokens.nth(2)).to_be_attached()
        await expect(page.page.locator(".workbench")).to_have_attribute("data-state", "idle")
        assert await page.overflow() <= 0
        await page.tokens.nth(1).tap()
        await expect(page.page.locator(".alternatives .drawn")).to_have_count(1)
        assert await page.overflow() <= 0
        await page.page.screenshot(path=pictures / f"phone-{locale[:2]}.png", full_page=True)
        assert page.errors == []


async def test_the_language_is_the_browsers_until_the_reader_chooses(reader, origin: str, pictures):
    page = await reader(locale="ko-KR", color_scheme="dark")
    await page.open(origin, "gru@2")
    await expect(page.page.locator("html")).to_have_attribute("lang", "ko")
    await expect(page.page.locator(".primary").first).to_contain_text("생성")
    await page.page.fill("#text", "안녕")
    await page.set(max_new_tokens=40, seed=4)
    await page.page.keyboard.press("Control+Enter")
    await expect(page.page.locator(".figures")).to_contain_text("최대 토큰 수")
    await page.page.screenshot(path=pictures / "korean-dark.png", full_page=True)
    text = await page.text()
    await page.page.get_by_role("button", name="English").click()
    await expect(page.page.locator("html")).to_have_attribute("lang", "en")
    await expect(page.page.locator(".figures")).to_contain_text("max tokens")
    assert await page.text() == text
    assert await page.page.locator("body").evaluate("body => /[가-힣]/.test(body.innerText.replace('한국어', ''))") == (
        any("가" <= letter <= "힣" for letter in text)
    )
    await page.page.reload()
    await expect(page.page.locator(".primary").first).to_contain_text("Generate")


async def test_colours_follow_the_system_until_the_reader_chooses(reader, origin: str):
    page = await reader(color_scheme="dark")
    await page.open(origin)
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    dark = await page.page.evaluate(ground)
    await page.page.get_by_role("button", name="Light").click()
    light = await page.page.evaluate(ground)
    await page.page.reload()
    await page.page.locator(".model").first.wait_for()
    assert await page.page.evaluate(ground) == light
    await page.page.get_by_role("button", name="Auto").click()
    assert await page.page.evaluate(ground) == dark
    assert [sum(map(int, colour[4:-1].split(","))) > 384 for colour in (light, dark)] == [True, False]


async def test_a_token_is_sent_and_stays_out_of_the_address(reader, behind, shown_models, tmp_path):
    token, callers = new_token(), tmp_path / "callers.toml"
    callers.write_text(entry(token, tenant='"acme"'))
    async with serve(shown_models, calls=Calls(access(callers))) as guarded:
        page = await reader()
        await page.page.goto(await behind(guarded.address))
        notice = page.page.get_by_role("alert")
        await expect(notice).to_contain_text("UNAUTHENTICATED · CREDENTIALS_MISSING")
        await page.page.get_by_role("button", name="Access").click()
        await page.page.get_by_label("Token", exact=True).fill(token)
        await page.page.get_by_label("Tenant").fill("other")
        await page.page.get_by_role("button", name="Use").click()
        await expect(notice).to_contain_text("PERMISSION_DENIED · TENANT_MISMATCH")
        await page.page.get_by_role("button", name="Access").click()
        await page.page.get_by_label("Tenant").fill("acme")
        await page.page.keyboard.press("Enter")
        await expect(page.page.locator(".model").first).to_be_visible()
        await page.generate(max_new_tokens=5)
        stores = "[location.href, JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.cookie].join()"
        assert token not in await page.page.evaluate(stores)
        await page.page.reload()
        await expect(notice).to_contain_text("CREDENTIALS_MISSING")
        await page.page.get_by_role("button", name="Access").click()
        await page.page.get_by_label("Token", exact=True).fill(token)
        await page.page.get_by_label("Keep").check()
        await page.page.keyboard.press("Enter")
        await page.page.locator(".model").first.wait_for()
        await page.page.reload()
        await expect(page.page.locator(".model").first).to_be_visible()
        assert token not in await page.page.evaluate("location.href + JSON.stringify(localStorage) + document.cookie")
