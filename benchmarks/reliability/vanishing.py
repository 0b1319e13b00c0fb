"""Clients that connect and vanish, each at another moment of its call. Knows nothing about what comes of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from benchmarks.load import request
from benchmarks.reliability.floods import GENERATE
from benchmarks.reliability.frames import END_HEADERS, PREFACE, Connection, Kind, call_headers, frame, open_call

_AT_ONCE = 16
_TOKENS = 4000

Way = Callable[[Connection, bytes, random.Random], None]


def vanish(address: str, model: str, clients: int, seed: int) -> dict[str, int]:
    """Let so many clients come and go, a few at a time; return how many went in which way."""
    content = request(model, "abc", _TOKENS).SerializeToString()

    def client(number: int) -> str:
        chance = random.Random(f"{seed}/{number}")
        way = chance.choice(_WAYS)
        connection = Connection(address)
        way(connection, content, chance)
        if chance.random() < 0.5:
            connection.vanish()
        else:
            connection.close()
        return way.__name__.strip("_").replace("_", " ")

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        gone = list(threads.map(client, range(clients)))
    return {way: gone.count(way) for way in sorted(set(gone))}


def _silent(_connection: Connection, _content: bytes, _chance: random.Random) -> None:
    """Say nothing."""


def _in_the_preface(connection: Connection, _: bytes, chance: random.Random) -> None:
    connection.send(PREFACE[: chance.randrange(1, len(PREFACE))])


def _after_the_preface(connection: Connection, _content: bytes, _chance: random.Random) -> None:
    connection.greet()


def _in_the_headers(connection: Connection, _: bytes, chance: random.Random) -> None:
    connection.greet()
    headers = frame(Kind.HEADERS, END_HEADERS, 1, call_headers(GENERATE))
    connection.send(headers[: chance.randrange(1, len(headers))])


def _in_the_message(connection: Connection, content: bytes, chance: random.Random) -> None:
    connection.greet()
    whole = open_call(1, GENERATE, content)
    connection.send(whole[: len(whole) - chance.randrange(1, len(content))])


def _after_the_request(connection: Connection, content: bytes, _: random.Random) -> None:
    connection.greet()
    connection.send(open_call(1, GENERATE, content))


def _in_the_stream(connection: Connection, content: bytes, chance: random.Random) -> None:
    connection.greet()
    calls = (open_call(stream, GENERATE, content) for stream in range(1, 2 * chance.choice((1, 1, 4)), 2))
    connection.send(b"".join(calls))
    connection.receive(chance.uniform(0.0, 0.05))


_WAYS: tuple[Way, ...] = (
    _silent, _in_the_preface, _after_the_preface, _in_the_headers, _in_the_message, _after_the_request, _in_the_stream,
)  # fmt: skip
