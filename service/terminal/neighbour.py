"""Who answers at an address where no server of ours does: asked with a few bytes, once a call has failed."""

from __future__ import annotations

import re
import socket
import ssl
from enum import Enum

_SECONDS = 2.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # and empty SETTINGS: RFC 9113
_SETTINGS_TYPE = 4
_MOST_BYTES = 4096
_TARGETS = (
    "dns:",
    "ipv4:",
    "ipv6:",
    "unix:",
    "unix-abstract:",
    "vsock:",
    "xds:",
)  # of gRPC: several servers, or no port


class Protocol(Enum):
    """What is spoken at an address, and how that is told."""

    TLS = "TLS"
    HTTP_2 = "HTTP/2 without TLS"
    METRICS = "HTTP, and has metrics for Prometheus"
    HTTP = "HTTP/1"
    UNKNOWN = "neither HTTP nor TLS"


def answering(address: str, *, encrypted: bool) -> str | None:
    """Return in words why nobody answers a call to `address`, "host:port"; None: it cannot be seen from here.

    encrypted: whether it was called with TLS.
    """
    if address.startswith(_TARGETS):
        return None
    found = re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[^:/]+):(\d{1,5})", address)
    if found is None or int(found[2]) >= 1 << 16:
        return "an address is HOST:PORT"
    host, port = found[1].strip("[]"), int(found[2])
    there = (host, port)
    try:
        socket.create_connection(there, _SECONDS).close()
    except ConnectionRefusedError:
        return "nothing listens there"
    except socket.gaierror:
        return f"there is no host {host}"
    except TimeoutError:
        return f"nobody took the connection within {_SECONDS:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return _mismatch(_spoken(there), encrypted=encrypted)


def _mismatch(spoken: Protocol, *, encrypted: bool) -> str | None:
    if spoken is (Protocol.TLS if encrypted else Protocol.HTTP_2):
        return None
    found = f"what listens there speaks {spoken.value}"
    if spoken is Protocol.TLS:
        return f"{found}: give --tls-ca FILE"
    if spoken is Protocol.HTTP_2:
        return f"{found}: leave --tls-ca out"
    return f"{found}: not a gRPC port"


def _spoken(there: tuple[str, int]) -> Protocol:
    answer = _ask(there, _PREFACE)
    if answer[3:4] == bytes([_SETTINGS_TYPE]):
        return Protocol.HTTP_2
    if _speaks_tls(there):
        return Protocol.TLS
    page = _ask(there, b"GET /metrics HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % there[0].encode("idna"))
    if not page.startswith(b"HTTP/1."):
        return Protocol.UNKNOWN
    return Protocol.METRICS if re.search(rb"^# (HELP|TYPE) ", page, re.MULTILINE) else Protocol.HTTP


def _speaks_tls(there: tuple[str, int]) -> bool:
    context = ssl.create_default_context()
    # Nothing is told to it, and nothing believed.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(there, _SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=there[0]),
        ):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # it refuses, in the language of TLS
    except (OSError, ValueError):
        return False


def _ask(there: tuple[str, int], words: bytes) -> bytes:
    """Return the first bytes that come in answer to `words`; empty if none do."""
    answer = b""
    try:
        with socket.create_connection(there, _SECONDS) as connection:
            connection.sendall(words)
            while len(answer) < _MOST_BYTES and (more := connection.recv(_MOST_BYTES)):
                answer += more
                if answer[3:4] == bytes([_SETTINGS_TYPE]):
                    break  # a server of HTTP/2 waits for what we say next
    except OSError:
        pass
    return answer
