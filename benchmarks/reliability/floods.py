"""Floods of HTTP/2: what one client can send to keep a server busy, or to fill its memory.

Each floods for a while over one connection, and opens another whenever the server hangs up. Knows nothing about what a
flood does to others.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.load import request
from benchmarks.reliability.frames import (
    END_HEADERS,
    Connection,
    Kind,
    block,
    call_headers,
    frame,
    open_call,
    settings,
)

GENERATE = "/seqstream.v1.GenerationService/Generate"
_CANCEL = (8).to_bytes(4)
_LISTEN_SECONDS = 0.0005
_PATIENCE = 2.0
_STREAMS = 1 << 30  # a connection has half of 2^31


@dataclass(frozen=True, slots=True)
class Flood:
    """title: what it is.    portions: what is sent over one connection, without an end, after the preface."""

    title: str
    portions: Callable[[str], Iterator[bytes]]
    window: int = 65535

    def run(self, address: str, model: str, seconds: float) -> str:
        """Flood for so long, and return what the server made of it."""
        end, sent, connections = time.monotonic() + seconds, 0, 0
        while time.monotonic() < end:
            connection = Connection(address, _PATIENCE)
            connection.greet(initial_window_size=self.window)
            connections += 1
            for portion in self.portions(model):
                if time.monotonic() > end or not connection.send(portion):
                    break
                sent += len(portion)
                received = connection.receive(_LISTEN_SECONDS)
                if received.closed or received.error is not None:
                    break
            connection.vanish()
        return f"{sent / 1e6:.1f} MB over {connections} connections"


def _content(model: str) -> bytes:
    return request(model, "abc", 64).SerializeToString()


def _resets(model: str) -> Iterator[bytes]:
    content = _content(model)
    for first in range(1, _STREAMS, 100):
        yield b"".join(
            open_call(stream, GENERATE, content) + frame(Kind.RST_STREAM, 0, stream, _CANCEL)
            for stream in range(first, first + 100, 2)
        )


def _calls(model: str) -> Iterator[bytes]:
    content = _content(model)
    for first in range(1, _STREAMS, 100):
        yield b"".join(open_call(stream, GENERATE, content) for stream in range(first, first + 100, 2))


def _pings(_: str) -> Iterator[bytes]:
    return itertools.repeat(frame(Kind.PING, 0, 0, b"12345678") * 100)


def _settings(_: str) -> Iterator[bytes]:
    return itertools.cycle((settings(initial_window_size=65535) * 100, settings(initial_window_size=65534) * 100))


def _continuations(_: str) -> Iterator[bytes]:
    yield frame(Kind.HEADERS, 0, 1, call_headers(GENERATE))
    yield from itertools.repeat(frame(Kind.CONTINUATION, 0, 1, block([("a" * 10, "v" * 4000)])) * 4)


def _empty_data(_: str) -> Iterator[bytes]:
    yield frame(Kind.HEADERS, END_HEADERS, 1, call_headers(GENERATE))
    yield from itertools.repeat(frame(Kind.DATA, 0, 1) * 200)


def _large_metadata(model: str) -> Iterator[bytes]:
    content, more = _content(model), [(f"key-{place}", "v" * 500) for place in range(100)]
    for stream in range(1, _STREAMS, 2):
        yield open_call(stream, GENERATE, content, *more)


def _unfinished(_: str) -> Iterator[bytes]:
    # 4 MiB are announced on every stream, and all but the last byte of a window is sent.
    for stream in range(1, _STREAMS, 2):
        yield frame(Kind.HEADERS, END_HEADERS, stream, call_headers(GENERATE)) + frame(
            Kind.DATA, 0, stream, b"\0" + (4 << 20).to_bytes(4) + b"x" * 1000
        )


FLOODS = (
    Flood("calls that are reset at once", _resets),
    Flood("calls that nobody reads, in windows of one byte", _calls, window=1),
    Flood("calls whose messages never end", _unfinished),
    Flood("PING", _pings),
    Flood("SETTINGS", _settings),
    Flood("CONTINUATION", _continuations),
    Flood("empty DATA", _empty_data),
    Flood("calls with 50 kB of metadata", _large_metadata),
)
