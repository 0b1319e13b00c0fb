"""What a reader does with the page, and what is seen there."""

from __future__ import annotations

from dataclasses import dataclass, field

from playwright.async_api import Locator, Page, expect

expect.set_options(timeout=20_000)


@dataclass
class Reader:
    """A page that is open in a real browser. errors: what the browser itself complained of."""

    page: Page
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(20_000)
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    async def open(self, origin: str, model: str = "") -> None:
        """Go to the page, wait until it has its models, and choose one."""
        await self.page.goto(origin)
        await self.page.locator(".model").first.wait_for(state="attached")
        if model:
            await self.choose(model)

    async def choose(self, model: str) -> None:
        if not await self.page.locator("details.models").evaluate("models => models.open"):
            await self.page.locator("details.models > summary").click()
        await self.page.locator(".model").filter(has_text=model).click()
        await expect(self.page.locator("#model")).to_have_text(model)

    async def set(self, **fields: object) -> None:
        """Fill in parameters: `max_new_tokens=40`."""
        if not await self.page.locator("details.parameters").evaluate("parameters => parameters.open"):
            await self.page.locator("details.parameters > summary").click()
        for name, value in fields.items():
            await self.page.locator(f'[id="{name}"], [id$=".{name}"]').fill(str(value))

    async def generate(self, text: str = "The quick ", **fields: object) -> None:
        """Generate from a text and wait for the end."""
        await self.set(**fields)
        await self.page.fill("#text", text)
        await self.page.keyboard.press("Control+Enter")
        await self.finished()

    async def finished(self) -> None:
        await expect(self.figure("finish reason")).not_to_be_empty()
        await expect(self.page.locator(".workbench")).to_have_attribute("data-state", "idle")

    def figure(self, name: str) -> Locator:
        """What stands above `name` among the figures."""
        return self.page.locator(".figures > div").filter(has_text=name).locator("dd")

    @property
    def tokens(self) -> Locator:
        return self.page.locator(".output .token")

    async def text(self) -> str:
        """The generated text."""
        return await self.page.locator(".output").evaluate("output => output.textContent")

    async def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
