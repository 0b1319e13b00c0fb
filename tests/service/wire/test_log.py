"""The log of calls: one line each, for people or for programs, without prompts unless asked for."""

import asyncio
import json
import logging
from pathlib import Path

import pytest

from service.client import Client
from service.failures import Internal, InvalidArgument, NotFound
from service.logs import Json, Text
from service.wire.calls import Calls
from tests.service.wire.running import Running, serve

PROMPT = "The quick 안녕 "
MESSAGES = [{"role": "user", "content": PROMPT}]


async def test_a_line_tells_what_a_call_was_and_took(process):
    server = process("--log-format", "json")
    async with Client(server.address, tenant="acme") as client:
        result = await client.generate("gru", PROMPT, max_new_tokens=30, ignore_end_of_sequence=True).result()
        await client.score("gru@1", PROMPT, "brown fox")
        with pytest.raises(NotFound):
            await client.model("nope")
    server.terminate()
    _, log = await asyncio.to_thread(server.wait)
    assert PROMPT.strip() not in log
    assert "quick" not in log
    lines = [json.loads(line) for line in log.splitlines()]
    generated, scored, refused = (line for line in lines if line["message"] == "call")
    assert generated | {"time": "", "queue_ms": 0, "first_token_ms": 0, "ms": 0} == {
        "time": "", "level": "INFO", "logger": "service.calls", "message": "call",
        "request_id": result.started.request_id, "method": "Generate", "tenant": "acme", "caller": None,
        "model": "gru@2", "prompt_tokens": result.started.prompt_tokens, "tokens": 30,
        "queue_ms": 0, "first_token_ms": 0, "ms": 0, "status": "OK",
    }  # fmt: skip
    assert 0 <= generated["queue_ms"] <= generated["first_token_ms"] <= generated["ms"]
    assert (scored["method"], scored["model"], scored["tokens"] > 0) == ("Score", "gru@1", True)
    assert (refused["model"], refused["first_token_ms"], refused["status"]) == (None, None, "NOT_FOUND")


async def test_prompts_are_logged_where_asked_for(models_folder: Path, told):
    async with serve(models_folder, calls=Calls(log_prompts=True)) as server, Client(server.address) as client:
        await client.generate("gru", PROMPT, max_new_tokens=2).result()
        assert (await told())["prompt"] == PROMPT
        await client.generate("gru", [1, 7, 9], max_new_tokens=2).result()
        assert (await told())["prompt"] == [1, 7, 9]
        with pytest.raises(InvalidArgument):
            await client.generate("gru", MESSAGES, max_new_tokens=2).result()
        assert (await told())["prompt"] == MESSAGES


@pytest.mark.parametrize("log_prompts", [False, True])
async def test_the_words_of_a_bug_may_be_a_prompts(models_folder: Path, monkeypatch, caplog, log_prompts: bool):
    async def broken(request, *_):
        raise ValueError(f"cannot take {request.text}")

    monkeypatch.setattr("service.wire.generation.read_asked", broken)
    async with serve(models_folder, calls=Calls(log_prompts=log_prompts)) as server, Client(server.address) as client:
        with pytest.raises(Internal):
            await client.generate("gru", PROMPT).result()
    assert "in broken" in caplog.text
    assert "ValueError" in caplog.text
    assert (PROMPT in caplog.text) == log_prompts


async def test_by_default_no_prompt_is_kept(running: Running, told):
    async with Client(running.address) as client:
        await client.generate("gru", PROMPT, max_new_tokens=2).result()
    assert "prompt" not in await told()


def test_both_forms_have_every_field_on_one_line():
    record = logging.makeLogRecord({"msg": "call %d", "args": (1,), "levelname": "INFO", "name": "service", "ms": 1.5,
                                    "tenant": None, "model": "a@1", "prompt": 'a "b"\n\x1b안'})  # fmt: skip
    text, line = Text().format(record), Json().format(record)
    assert text.endswith(r'INFO service: call 1 ms=1.5 tenant=- model=a@1 prompt="a \"b\"\n\u001b\uc548"')
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found == {"level": "INFO", "logger": "service", "message": "call 1", "ms": 1.5, "tenant": None,
                     "model": "a@1", "prompt": 'a "b"\n\x1b안'}  # fmt: skip
    assert "\n" not in text + line
