"""`attend` and `inspect`: what they print, and the pictures they draw."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from service.client import Client
from tests.service.terminal.typed import run
from tests.service.wire.running import Running

SOURCE = "2026년 11월 22일 일요일"


def size(png: Path) -> tuple[int, int]:
    """The width and the height of a picture, from its header."""
    content = png.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", content[16:24])


async def test_attend_prints_what_each_piece_looks_at_most(running: Running):
    async with Client(running.address) as client:
        seen = await client.attend("transformer", SOURCE, "2026", kinds=["cross"], layers=[1], heads=[0])
    chosen = ("--kind", "cross", "--layer", "1", "--head", "0", "--target", "2026")
    code, output, errors = await run("attend", "transformer", SOURCE, *chosen, "--address", running.address)
    title, *lines = output.splitlines()
    assert (code, errors, title) == (0, "", "cross, layer 1, head 0")
    assert [line.split()[0] for line in lines] == ['"2"', '"0"', '"2"', '"6"']
    for line, weights in zip(lines, seen.maps[0].weights, strict=True):
        assert line.endswith(f"({weights.max():.2f})")


async def test_attend_lets_a_model_with_a_source_write_by_itself(running: Running):
    async with Client(running.address) as client:
        written = await client.generate("transformer", SOURCE, temperature=0.0).result()
    arguments = ("attend", "transformer", SOURCE, "--kind", "cross", "--mean", "--json", "--address", running.address)
    code, output, _ = await run(*arguments)
    found = json.loads(output)
    assert (code, found["model"]) == (0, "transformer@1")
    first, _ = found["maps"]
    assert "".join(first["rows"]) == written.samples[0].text + "<eos>"  # it wrote its end as well
    assert np.sum(first["weights"], axis=1) == pytest.approx(1, abs=1e-5)
    code, output, _ = await run(*arguments, "--write", "3")
    assert len(json.loads(output)["maps"][0]["rows"]) == 3


async def test_inspect_prints_a_line_for_each_piece(running: Running):
    arguments = ("--name", "update_gate", "--layer", "0", "--units", "4", "--address", running.address)
    code, output, errors = await run("inspect", "gru", "The", *arguments)
    title, *lines = output.splitlines()
    assert (code, errors, title) == (0, "", "update_gate, decoder, layer 0: 4 of 16 units")
    assert [line.split()[0] for line in lines] == ["<bos>", '"The"']
    assert all(line.split()[1] == "mean" for line in lines)


async def test_pictures_are_drawn_with_the_characters_of_every_language(running: Running, tmp_path: Path):
    at = ("--address", running.address)
    cross, gates = tmp_path / "cross.png", tmp_path / "gates.png"
    target = ("--target", "2026-11-22, 일요일 🎉")
    assert await run("attend", "transformer", SOURCE, *target, "--kind", "cross", "--png", str(cross), *at) == (
        0,
        "",
        "",
    )
    assert await run("inspect", "gru", "a $x$ 東京\n안녕", "--png", str(gates), *at) == (0, "", "")
    assert size(cross)[0] > 1000  # four heads side by side
    assert size(gates)[1] > 1000  # eight activations one below the other


async def test_what_cannot_be_is_one_line(running: Running, tmp_path: Path):
    at = ("--address", running.address)
    for arguments, code, expected in [
        (["attend", "gru", "a"], 1, "gru@2 has no attention; Inspect shows its activations"),
        (["inspect", "transformer-lm", "a"], 1, "transformer-lm@1 shows no activations; Attend shows its attention"),
        (["attend", "transformer-lm", "a", "--layer", "7"], 1, "layers[0] is 7; allowed: 0 to 1"),
        (["attend", "transformer-lm", "a", "--png", str(tmp_path / "no" / "a.png")], 2, "--png: "),
        (["attend", "transformer-lm", "a", "--head", "-1"], 2, "--head"),
    ]:
        found, output, errors = await run(*arguments, *at)
        assert (found, output) == (code, "")
        assert expected in errors
        assert len(errors.splitlines()) == 1
