"""HTTP/2 by hand: a client that sends what a well-behaved library would not (RFC 9113, header blocks of RFC 7541).

Header blocks are literals without an index, which every server has to take. What comes back is told by the types of its
frames alone. Knows nothing about gRPC but how a message is framed.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
_HEADER_BYTES = 9


class Kind(enum.IntEnum):
    """Types of frames."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Setting(enum.IntEnum):
    """Settings of a connection."""

    HEADER_TABLE_SIZE = 1
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5


def frame(kind: Kind, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values: int) -> bytes:
    """Return a SETTINGS frame."""
    pairs = b"".join(struct.pack(">HI", Setting[name.upper()], value) for name, value in values.items())
    return frame(Kind.SETTINGS, 0, 0, pairs)


def block(headers: Iterable[tuple[str, str]]) -> bytes:
    """Return a header block."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in headers)


def call_headers(path: str, *more: tuple[str, str]) -> bytes:
    """Return the header block that opens a gRPC call."""
    fixed = ((":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
             ("te", "trailers"), ("content-type", "application/grpc"))  # fmt: skip
    return block((*fixed, *more))


def grpc_message(content: bytes) -> bytes:
    """Return a message as the payload of DATA."""
    return b"\0" + struct.pack(">I", len(content)) + content


def open_call(stream: int, path: str, content: bytes, *more: tuple[str, str]) -> bytes:
    """Return the frames of a call with one message."""
    headers = frame(Kind.HEADERS, END_HEADERS, stream, call_headers(path, *more))
    return headers + frame(Kind.DATA, END_STREAM, stream, grpc_message(content))


def _text(text: str) -> bytes:
    content = text.encode()
    return _integer(len(content)) + content


def _integer(value: int, prefix: int = 127) -> bytes:
    if value < prefix:
        return bytes([value])
    rest, found = value - prefix, bytearray([prefix])
    while rest >= 128:
        found.append(rest % 128 + 128)
        rest //= 128
    return bytes([*found, rest])


@dataclass
class Received:
    """frames: how many of each type.    error: of GOAWAY, or None.    closed: whether the server hung up."""

    frames: Counter[Kind] = field(default_factory=Counter)
    error: int | None = None
    closed: bool = False


class Connection:
    """One connection, opened without a word. timeout: seconds that the server may take to take what is sent."""

    def __init__(self, address: str, timeout: float = 10.0) -> None:
        host, _, port = address.rpartition(":")
        self.received = Received()
        self._timeout = timeout
        self._socket = socket.create_connection((host, int(port)), timeout)
        self._waiting = b""

    def greet(self, **values: int) -> None:
        """Send the preface and these settings."""
        self.send(PREFACE + settings(**values))

    def send(self, content: bytes) -> bool:
        """Send all of it, and return whether the server still takes it."""
        try:
            self._socket.sendall(content)
        except OSError:
            self.received.closed = True
        return not self.received.closed

    def receive(self, seconds: float) -> Received:
        """Count the frames that come within that time; acknowledge settings and pings."""
        end = time.monotonic() + seconds
        while not self.received.closed and (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                content = self._socket.recv(1 << 16)
            except TimeoutError:
                break
            except OSError:
                content = b""
            self.received.closed = not content
            self._waiting += content
            self._count()
        self._socket.settimeout(self._timeout)
        return self.received

    def vanish(self) -> None:
        """Reset the connection, without a farewell."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _count(self) -> None:
        while len(self._waiting) >= _HEADER_BYTES:
            size = int.from_bytes(self._waiting[:3])
            if len(self._waiting) < _HEADER_BYTES + size:
                return
            kind, flags = self._waiting[3], self._waiting[4]
            payload = self._waiting[_HEADER_BYTES : _HEADER_BYTES + size]
            self._waiting = self._waiting[_HEADER_BYTES + size :]
            if kind in Kind._value2member_map_:
                self.received.frames[Kind(kind)] += 1
            if kind == Kind.GOAWAY:
                self.received.error = struct.unpack(">I", payload[4:8])[0]
            if kind == Kind.SETTINGS and not flags & ACK:
                self.send(frame(Kind.SETTINGS, ACK, 0))
            if kind == Kind.PING and not flags & ACK:
                self.send(frame(Kind.PING, ACK, 0, payload))
