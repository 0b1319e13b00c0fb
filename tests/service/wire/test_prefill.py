"""Prompts beside running streams, through a server: a wait that is asked for changes when tokens come, not which."""

import asyncio
from pathlib import Path

import pytest

from tests.service.wire.asking import ask, stop, tokens_of
from tests.service.wire.running import serve

PROMPTS = ("A", "The quick brown fox jumps over ", "안녕하세요", "def __init__(self, queue):\n    self.queue = queue")


@pytest.mark.parametrize("model", ["gru", "transformer-lm"])
async def test_streams_that_come_together_are_the_same_whatever_wait_is_asked_for(models_folder: Path, model: str):
    requests = [ask(prompt, model, stop=stop(12)) for prompt in PROMPTS]
    async with serve(models_folder) as server:
        alone = [tokens_of(await server.events(request)) for request in requests]
        together = await asyncio.gather(*map(server.events, requests))
    async with serve(models_folder, max_itl_seconds=1e-9) as server:
        beside = asyncio.create_task(server.events(ask("x", "gru", stop=stop(2000))))
        hurried = await asyncio.gather(*map(server.events, requests))
        await beside
    assert [tokens_of(events) for events in together] == alone
    assert [tokens_of(events) for events in hurried] == alone
