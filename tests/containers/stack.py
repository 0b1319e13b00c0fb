"""The compose project as a test sees it: ports of its own, and what its containers say."""

from __future__ import annotations

import json
import re
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.containers.engine import Engine, compose_program

PROJECT = "seqstream-test"
_PORTS = ("GRPC", "WEB", "PROMETHEUS", "GRPC_TLS", "WEB_TLS", "METRICS")
_UP_SECONDS = 600


class Stack:
    """docker-compose.yml under the name PROJECT."""

    def __init__(self, engine: Engine, certificates: Path) -> None:
        self.engine = engine
        self.certificates = certificates
        self.ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        self._environment = {
            "SEQSTREAM_NODE_IMAGE": "localhost/seqstream-node:local",
            "SEQSTREAM_NGINX_IMAGE": "localhost/seqstream-nginx:local",
            "SEQSTREAM_ENVOY_IMAGE": "localhost/seqstream-envoy:local",
            "SEQSTREAM_PROMETHEUS_IMAGE": "localhost/seqstream-prometheus:local",
            "SEQSTREAM_CERTIFICATES": str(certificates),
            "SEQSTREAM_STEPS": "20",
            "SEQSTREAM_THREADS": "1",
            **{f"SEQSTREAM_{name}_PORT": str(port) for name, port in self.ports.items()},
        }

    def compose(self, *arguments: str, override: str = "tls", **variables: str) -> str:
        """Run podman-compose with one of the overrides."""
        files = ("-f", "docker-compose.yml", "-f", f"deploy/compose/{override}.yml")
        command = (compose_program(), "-p", PROJECT, *files, *arguments)
        return self.engine.run(*command, timeout=_UP_SECONDS, **{**self._environment, **variables})

    def up(self) -> None:
        """Train, serve, and wait until every server answers Envoy."""
        self.compose("up", "-d", "--no-build")
        self.wait_for_healthy(2)

    def down(self) -> None:
        """Remove everything of the project."""
        self.compose("down", "--volumes", "--timeout", "1")

    def container(self, service: str, number: int = 1) -> str:
        """Return the name of a container."""
        return f"{PROJECT}_{service}_{number}"

    def servers(self) -> list[str]:
        """Return the names of the replicas."""
        return [self.container("server", number) for number in (1, 2)]

    def containers(self) -> list[str]:
        """Return the names of all containers, running or not."""
        return self._names("ps", "--all", "--format={{.Names}}")

    def volumes(self) -> list[str]:
        """Return the names of all volumes."""
        return self._names("volume", "ls", "--format={{.Name}}")

    def _names(self, *command: str) -> list[str]:
        label = f"--filter=label=io.podman.compose.project={PROJECT}"
        return self.engine.podman(*command, label).split()

    def wait_for_healthy(self, servers: int) -> None:
        """Wait until Envoy's health checks have found so many servers, and no other is left."""
        try:
            wait_until(lambda: self.healthy() == servers, f"Envoy sees {servers} servers")
        except AssertionError as error:
            names = self.engine.podman("exec", self.container("envoy"), "getent", "ahosts", "server", check=False)
            seen = [line for line in self.clusters().splitlines() if "health_flags" in line]
            error.add_note("\n".join(["Envoy knows", *seen, "names say", names, self.engine.podman("ps", "--all")]))
            raise

    def healthy(self) -> int:
        """Return how many servers Envoy would call now."""
        return len(re.findall(r"^seqstream::[\d.:]+::health_flags::healthy", self.clusters(), re.MULTILINE))

    def clusters(self) -> str:
        """Return what Envoy knows of those behind it."""
        request = "GET /clusters HTTP/1.1\\r\\nHost: envoy\\r\\nConnection: close\\r\\n\\r\\n"
        script = f"exec 3<>/dev/tcp/127.0.0.1/9901; printf '{request}' >&3; cat <&3"
        return self.engine.podman("exec", self.container("envoy"), "bash", "-c", script, check=False)

    def running(self, server: str) -> int:
        """Return how many requests a server runs, by its own metrics."""
        with urllib.request.urlopen(f"http://{self.engine.address(server)}:9464/metrics", timeout=5) as response:
            families = text_string_to_metric_families(response.read().decode())
        running = next(family for family in families if family.name == "seqstream_num_requests_running")
        return int(sum(sample.value for sample in running.samples))

    def prometheus(self, path: str) -> Any:
        """Ask Prometheus' API."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.ports['PROMETHEUS']}/api/v1/{path}", timeout=5
        ) as response:
            return json.loads(response.read())["data"]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def wait_until(condition: Any, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds:g} s still not: {what}"
        time.sleep(0.2)
