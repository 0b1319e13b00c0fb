"""Who answers where no server of ours does: real ones of each kind."""

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from service.terminal.neighbour import answering
from tests.service.terminal.typed import run
from tests.service.wire.certified import Authority
from tests.service.wire.running import Running, serve


@contextlib.contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """A port that answers each connection with the same bytes, once it is told something; None: never, and hangs up."""

    def take() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.recv(1)
                    connection.sendall(answer or b"")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=take)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture
def free() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("somewhere", "an address is HOST:PORT"),
        ("somewhere:99999", "an address is HOST:PORT"),
        ("no-such-host.invalid:50051", "there is no host no-such-host.invalid"),
        ("ipv4:1.2.3.4:1,1.2.3.5:1", None),
    ],
)
def test_addresses_that_are_none_are_told(address, expected):
    assert answering(address, encrypted=False) == expected


def test_a_port_where_nothing_listens(free):
    assert answering(free, encrypted=False) == "nothing listens there"


def test_a_server_of_http_is_told_from_a_port_of_metrics():
    pages, _ = start_http_server(0, "127.0.0.1", CollectorRegistry())
    metrics = answering(f"127.0.0.1:{pages.server_port}", encrypted=False)
    pages.shutdown()
    pages.server_close()
    assert metrics == "what listens there speaks HTTP/1: not a gRPC port", "it has no metrics"
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as plain:
        threading.Thread(target=plain.serve_forever).start()
        found = answering(f"127.0.0.1:{plain.server_port}", encrypted=False)
        plain.shutdown()
    assert found == "what listens there speaks HTTP/1: not a gRPC port"


def test_what_speaks_neither_is_told():
    with listening(b"220 mail.example ESMTP\r\n") as address:
        assert answering(address, encrypted=False) == "what listens there speaks neither HTTP nor TLS: not a gRPC port"
    with listening(None) as address:
        assert answering(address, encrypted=True) == "what listens there speaks neither HTTP nor TLS: not a gRPC port"


async def test_tls_and_no_tls_are_taken_for_one_another(running: Running, models_folder, tmp_path):
    authority = Authority(tmp_path)
    code, _, errors = await run("models", "--address", running.address, "--tls-ca", str(authority.file))
    assert (code, errors) == (
        1,
        f"error: no answer from {running.address}: what listens there speaks HTTP/2 without TLS: leave --tls-ca out\n",
    )
    async with serve(models_folder, tls=authority.server(), trusted=authority.trusted()) as server:
        code, _, errors = await run("models", "--address", server.address)
    assert (code, errors) == (
        1,
        f"error: no answer from {server.address}: what listens there speaks TLS: give --tls-ca FILE\n",
    )


async def test_the_port_of_metrics_is_told(process):
    server = process("--metrics-port", "0")
    metrics = next(line for line in server.lines if line.startswith("metrics on "))
    address = metrics.split("/")[2]
    code, _, errors = await run("models", "--address", address)
    found = "what listens there speaks HTTP, and has metrics for Prometheus: not a gRPC port"
    assert (code, errors) == (1, f"error: no answer from {address}: {found}\n")
