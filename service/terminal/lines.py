"""Requests in a file, a line of JSON each:

    {"prompt": "class Queue:"}
    {"id": "a7", "prompt": "20. Juli 1969", "parameters": {"temperature": 0, "seed": 7}}
    {"messages": [{"role": "user", "content": "Hello"}]}

The prompt is text or token ids. Parameters are those of the flags, by their names in the protocol.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from service.terminal.prompt import messages
from service.wire.options import Options, Prompt

_FIELDS = ("id", "prompt", "messages", "parameters")


@dataclass(frozen=True, slots=True)
class Line:
    """One request. id: its own, or the number of its line, from 1."""

    id: str | int
    prompt: Prompt
    options: Options


def read_lines(text: Iterable[bytes], name: str) -> Iterator[Line]:
    """Yield the requests of a file; lines of white space are passed over.

    Raises:
        ValueError: a line is not one; the message has its place, "NAME:LINE".
    """
    for number, raw in enumerate(text, 1):
        if raw.strip():
            yield _line(raw, number, f"{name}:{number}")


def _line(raw: bytes, number: int, where: str) -> Line:
    try:
        found = json.loads(raw)
    except ValueError as error:  # of JSON, or of UTF-8
        raise ValueError(f"{where}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{where}: not an object")
    if unknown := found.keys() - set(_FIELDS):
        raise ValueError(f"{where}: no field {min(unknown)!r}; there are {', '.join(_FIELDS)}")
    identity = found.get("id", number)
    if isinstance(identity, bool) or not isinstance(identity, str | int):
        raise ValueError(f"{where}: id is {json.dumps(identity)[:100]}; allowed: text or a whole number")
    return Line(identity, _prompt(found, where), _options(found.get("parameters", {}), where))


def _prompt(found: dict[str, object], where: str) -> Prompt:
    if ("prompt" in found) == ("messages" in found):
        raise ValueError(f"{where}: give either prompt or messages")
    if "messages" in found:
        return messages(found["messages"], where)
    prompt = found["prompt"]
    ids = isinstance(prompt, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in prompt)
    if not isinstance(prompt, str) and not ids:
        raise ValueError(f"{where}: prompt is {json.dumps(prompt)[:100]}; allowed: text, or a list of token ids")
    return cast("Prompt", prompt)


def _options(found: object, where: str) -> Options:
    names = Options.__annotations__
    if not isinstance(found, dict):
        raise ValueError(f"{where}: parameters is no object")
    if unknown := found.keys() - names.keys():
        raise ValueError(f"{where}: no parameter {min(unknown)!r}; there are {', '.join(names)}")
    return cast("Options", found)
