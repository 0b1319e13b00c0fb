"""Streams as they came: pieces of text and when each arrived, recorded from a running server, kept as JSON."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from service.client import Client


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of one message, and the seconds after the first request at which it was there."""

    seconds: float
    text: str


@dataclass(frozen=True, slots=True)
class Stream:
    """One generation: when it was asked for, what for, and what came."""

    began: float
    prompt: str
    tokens: int
    pieces: tuple[Piece, ...]


async def record(address: str, model: str, prompts: Sequence[str], apart: float, tokens: int) -> tuple[Stream, ...]:
    """Say each prompt to a model that chats, greedily, `apart` seconds after the one before; return what came of all.

    Raises ClientError.
    """
    async with Client(address) as client:
        async for _ in client.generate(model, "Once", max_new_tokens=4):
            pass  # the connection is there, the model has been used
        began = time.perf_counter()

        async def follow(prompt: str, wait: float) -> Stream:
            await asyncio.sleep(wait)
            asked, pieces, count = time.perf_counter() - began, [], 0
            turns = [{"role": "user", "content": prompt}]
            async for delta in client.generate(model, turns, temperature=0.0, max_new_tokens=tokens):
                pieces.append(Piece(round(time.perf_counter() - began, 4), delta.text))
                count += len(delta.token_ids)
            return Stream(round(asked, 4), prompt, count, tuple(pieces))

        return tuple(await asyncio.gather(*(follow(prompt, apart * turn) for turn, prompt in enumerate(prompts))))


def write(streams: Sequence[Stream], about: str, path: Path) -> None:
    """Write a recording, and what it is of, to `path`."""
    content = {"about": about, "streams": [asdict(stream) for stream in streams]}
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> tuple[str, tuple[Stream, ...]]:
    """Return what a recording is of, and its streams."""
    content = json.loads(path.read_text(encoding="utf-8"))
    streams = (
        Stream(one["began"], one["prompt"], one["tokens"], tuple(Piece(**piece) for piece in one["pieces"]))
        for one in content["streams"]
    )
    return content["about"], tuple(streams)
