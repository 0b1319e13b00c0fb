"""Real balancers in front of running servers, on loopback and on one thread each. Knows nothing about what they carry.

    with balancers.envoy(["127.0.0.1:50051", "127.0.0.1:50052"]) as balancer:
        async with Client(balancer.address) as client: ...

Envoy runs with the configuration that is deployed, deploy/envoy/envoy.yaml, only on other ports and with other servers
behind it. HAProxy and nginx run with the least that streams need.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

ENVOY_CONFIGURATION = Path(__file__).parents[1] / "deploy" / "envoy" / "envoy.yaml"
_START_SECONDS = 15.0


class BalancerError(RuntimeError):
    """A balancer is not installed, or does not pass calls on. The message is one line."""


@dataclass(frozen=True, slots=True)
class Balancer:
    """What a client dials, and the process behind it: none where the client itself balances.

    web: "host:port" of gRPC-Web and the page, where there is such a door.
    """

    address: str
    process: psutil.Process | None = None
    web: str = ""

    @property
    def cpu_seconds(self) -> float:
        """CPU time that the balancer has taken, user and system."""
        if self.process is None:
            return 0.0
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextlib.contextmanager
def round_robin(endpoints: Sequence[str]) -> Iterator[Balancer]:
    """Let the client spread its calls over all servers. No process: the address names every server."""
    yield Balancer("ipv4:" + ",".join(endpoints))


@contextlib.contextmanager
def envoy(endpoints: Sequence[str], page: str = "") -> Iterator[Balancer]:
    """Start Envoy as it is deployed. page: "host:port" of the page's files. Raises BalancerError."""
    deployed = yaml.safe_load(ENVOY_CONFIGURATION.read_text(encoding="utf-8"))
    port = free_port()
    configuration = envoy_configuration(deployed, endpoints, port, page)
    flags = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
    with _running([find("envoy"), "--config-yaml", json.dumps(configuration), *flags], port) as balancer:
        yield dataclasses.replace(balancer, web=_web(configuration))


def _web(configuration: dict[str, Any]) -> str:
    named = {listener["name"]: listener["address"] for listener in configuration["static_resources"]["listeners"]}
    address = named["web"]["socket_address"]
    return f"{address['address']}:{address['port_value']}"


def envoy_configuration(
    deployed: dict[str, Any], endpoints: Sequence[str], port: int, page: str = ""
) -> dict[str, Any]:
    """Return the deployed configuration with its first listener on `port` of the loopback address, the others and the
    administration on free ports, `endpoints` as the servers of every cluster, and `page` as that of the page's files.
    """
    configuration = copy.deepcopy(deployed)
    resources = configuration["static_resources"]
    for number, listener in enumerate(resources["listeners"]):
        listener["address"] = _socket_address("127.0.0.1", port if number == 0 else free_port())
    if "admin" in configuration:
        configuration["admin"]["address"] = _socket_address("127.0.0.1", free_port())
    for cluster in resources["clusters"]:
        own = ([page] if page else []) if cluster["name"] == "page" else endpoints
        servers = [{"endpoint": {"address": _socket_address(*_split(endpoint))}} for endpoint in own]
        cluster["type"] = "STATIC"
        cluster["load_assignment"] = {"cluster_name": cluster["name"], "endpoints": [{"lb_endpoints": servers}]}
    return configuration


def haproxy(endpoints: Sequence[str]) -> contextlib.AbstractContextManager[Balancer]:
    """Start HAProxy: HTTP/2 on both sides, the server with the fewest streams takes the next. Raises BalancerError."""
    return _haproxy(endpoints, "http", " proto h2")


def tcp(endpoints: Sequence[str]) -> contextlib.AbstractContextManager[Balancer]:
    """Start HAProxy as a balancer of connections, which knows nothing of streams. Raises BalancerError."""
    return _haproxy(endpoints, "tcp", "")


@contextlib.contextmanager
def _haproxy(endpoints: Sequence[str], mode: str, protocol: str) -> Iterator[Balancer]:
    port = free_port()
    servers = [f"  server s{number} {endpoint}{protocol} check inter 1s" for number, endpoint in enumerate(endpoints)]
    lines = [
        "global",
        "  nbthread 1",
        "  maxconn 8192",
        "  tune.h2.max-concurrent-streams 1024",
        "defaults",
        f"  mode {mode}",
        "  timeout connect 2s",
        "  timeout client 1h",
        "  timeout server 1h",
        "frontend calls",
        f"  bind 127.0.0.1:{port}{protocol}",
        "  default_backend servers",
        "backend servers",
        "  balance leastconn",
        *servers,
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "haproxy.cfg"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with _running([find("haproxy"), "-db", "-q", "-f", str(file)], port) as balancer:
            yield balancer


@contextlib.contextmanager
def nginx(endpoints: Sequence[str]) -> Iterator[Balancer]:
    """Start nginx: every stream has a connection of its own to the server with the fewest. Raises BalancerError."""
    port = free_port()
    servers = " ".join(f"server {endpoint};" for endpoint in endpoints)
    with tempfile.TemporaryDirectory() as folder:
        paths = " ".join(f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        file = Path(folder) / "nginx.conf"
        file.write_text(
            "daemon off; master_process off; pid pid; error_log stderr crit; events { worker_connections 8192; }\n"
            f"http {{ access_log off; {paths} upstream servers {{ least_conn; {servers} }}\n"
            f"server {{ listen 127.0.0.1:{port} http2; http2_max_concurrent_streams 1024;\n"
            "keepalive_requests 1000000; location / { grpc_pass grpc://servers;\n"
            "grpc_read_timeout 1h; grpc_send_timeout 1h; } } }\n",
            encoding="utf-8",
        )
        with _running([find("nginx"), "-p", folder, "-c", str(file), "-e", "stderr"], port) as balancer:
            yield balancer


BALANCERS: dict[str, Callable[[Sequence[str]], contextlib.AbstractContextManager[Balancer]]] = {
    "round_robin": round_robin,
    "envoy": envoy,
    "haproxy": haproxy,
    "nginx": nginx,
    "tcp": tcp,
}


def find(binary: str) -> str:
    """Return the path of an installed binary, this environment's first. Raises BalancerError."""
    for path in (str(Path(sys.executable).parent), None, "/usr/sbin"):
        if found := shutil.which(binary, path=path):
            return found
    raise BalancerError(f"{binary} is not installed")


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[Balancer]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_until_serving(f"127.0.0.1:{port}", process)
            yield Balancer(f"127.0.0.1:{port}", psutil.Process(process.pid))
        finally:
            process.kill()
            process.wait()


def _wait_until_serving(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(grpc.RpcError), grpc.insecure_channel(address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            if stub.Check(health_pb2.HealthCheckRequest(), timeout=1.0).status == 1:
                return
        time.sleep(0.05)
    ended = "" if process.poll() is None else f": it ended with exit code {process.returncode}"
    raise BalancerError(f"no server answers through {Path(process.args[0]).name} on {address}{ended}")  # type: ignore[arg-type, index]


def _split(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.rpartition(":")
    return host, int(port)


def _socket_address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
