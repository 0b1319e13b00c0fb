"""Attention and gates in the browser: of models exported with views, and what is said of others."""

import pytest
from playwright.async_api import expect

from protos.seqstream.v1 import inspection_pb2 as pb
from protos.seqstream.v1 import model_pb2
from protos.seqstream.v1.inspection_pb2_grpc import InspectionServiceStub

pytestmark = pytest.mark.asyncio(loop_scope="session")
SOURCE = "2026년 11월 22일 일요일"
CENTRE = """(board) => { const canvas = board.querySelector("canvas");
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(value => value > 0) }"""


async def test_the_map_of_an_encoder_decoder_is_what_the_server_computes(reader, origin: str, server, pictures):
    page = await reader()
    await page.open(origin, "transformer@1")
    await page.generate(SOURCE, temperature=0, seed=1)
    view = page.page.locator(".view", has_text="Attention")
    board = view.locator(".board")
    await expect(board).to_be_visible()
    assert await board.evaluate(CENTRE)
    model = (await server.model.GetModel(model_pb2.GetModelRequest(model="transformer"))).model
    cross = [each for each in model.inspection.attentions if each.kind == pb.ATTENTION_KIND_CROSS]
    await expect(view.locator(".head")).to_have_count(cross[-1].heads + 1)

    await view.locator(".head").nth(2).click()
    await board.focus()
    await board.press("ArrowRight")
    await board.press("ArrowDown")
    await board.press("ArrowRight")
    tokens = await page.page.evaluate("() => document.querySelectorAll('.output .token').length")
    text = await page.text()
    asked = pb.AttendRequest(
        model="transformer", text=SOURCE, continuation_text=text, kinds=[pb.ATTENTION_KIND_CROSS], heads=[1]
    )
    asked.layers.append(cross[-1].layer)
    answer = await InspectionServiceStub(server.channel).Attend(asked)
    (shown,) = answer.maps
    written = answer.sequences.written[1].text
    source = answer.sequences.source[1].text
    assert shown.rows in (tokens, tokens - 1)
    readout = await view.locator(".readout").inner_text()
    assert readout.startswith(f"{written} looks at {source}: ")
    assert float(readout.rpartition(": ")[2]) == pytest.approx(shown.weights[shown.columns + 1], rel=0.06, abs=1e-3)
    await view.screenshot(path=pictures / "cross-attention.png")
    assert page.errors == []


async def test_every_kind_layer_and_head_can_be_chosen(reader, origin: str):
    page = await reader()
    await page.open(origin, "transformer@1")
    await page.generate(SOURCE, temperature=0, seed=1)
    view = page.page.locator(".view", has_text="Attention")
    readouts = set()
    for kind in ("To the source", "To what was written", "Within the source"):
        await view.get_by_role("button", name=kind).click()
        for layer in ("1", "2"):
            await view.locator(".chooser").last.get_by_role("button", name=layer, exact=True).click()
            await expect(view).not_to_have_attribute("aria-busy", "true")
            for head in range(await view.locator(".head").count()):
                await view.locator(".head").nth(head).click()
                await view.locator(".board").focus()
                await view.locator(".board").press("ArrowDown")
                readouts.add((kind, layer, head, await view.locator(".readout").inner_text()))
    assert len(readouts) == 3 * 2 * 5
    assert all("looks at" in readout for *_, readout in readouts)
    assert page.errors == []


async def test_a_model_without_a_source_shows_the_attention_to_its_own_text(reader, origin: str, server, pictures):
    page = await reader(locale="ko-KR", color_scheme="dark", viewport={"width": 360, "height": 740})
    await page.open(origin, "transformer-lm@1")
    await page.page.fill("#text", "The quick ")
    await page.page.keyboard.press("Control+Enter")
    await expect(page.page.locator(".view .board").first).to_be_visible()
    assert await page.overflow() <= 0
    await page.page.screenshot(path=pictures / "self-attention-phone.png", full_page=True)
    assert page.errors == []


async def test_the_gates_of_a_recurrent_model_are_pictures_of_the_same_times(reader, origin: str, server, pictures):
    page = await reader()
    await page.open(origin, "gru@2")
    await page.generate("The quick ", max_new_tokens=40, seed=2)
    model = (await server.model.GetModel(model_pb2.GetModelRequest(model="gru"))).model
    names = {each.name.replace("_", " ") for each in model.inspection.activations}
    view = page.page.locator(".view", has_text="Gates")
    await expect(view.locator(".activation")).to_have_count(len(names))
    titles = await view.locator("h4").all_inner_texts()
    assert {name for name in names for title in titles if title.startswith(name)} == names
    widths = await view.locator(".board").evaluate_all("boards => boards.map(board => board.offsetWidth)")
    assert len(set(widths)) == 1
    await view.screenshot(path=pictures / "gates.png")
    assert page.errors == []


async def test_a_model_without_views_says_how_to_have_them(reader, origin: str):
    page = await reader()
    await page.open(origin, "markup@1")
    command = "python -m export RUN --name markup --with-attention"
    await expect(page.page.locator(".inside code")).to_have_text(command)
