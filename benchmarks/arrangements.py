"""Two servers of one thread each, and what may stand in front of them. To be run by `run_alone`, one after another."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from benchmarks import balancers
from benchmarks.ray_cluster import CONFIGURATION, started
from benchmarks.server import serving

MODEL = "gru"
_PORT = 50051


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What a client dials, and the processes that serve it. servers: those that compute."""

    address: str
    servers: Callable[[], Sequence[psutil.Process]]
    processes: Callable[[], Sequence[psutil.Process]]


@contextlib.contextmanager
def direct(models: Path, _: Path) -> Iterator[Arrangement]:
    """Two servers, between which the client itself chooses."""
    with _two_servers(models) as (endpoints, processes), balancers.round_robin(endpoints) as balancer:
        yield Arrangement(balancer.address, lambda: processes, lambda: processes)


@contextlib.contextmanager
def envoy(models: Path, _: Path) -> Iterator[Arrangement]:
    """Two servers behind Envoy."""
    with _two_servers(models) as (endpoints, processes), balancers.envoy(endpoints) as balancer:
        assert balancer.process is not None
        everything = [*processes, balancer.process]
        yield Arrangement(balancer.address, lambda: processes, lambda: everything)


@contextlib.contextmanager
def ray_serve(models: Path, binaries: Path, **environment: str) -> Iterator[Arrangement]:
    """Two replicas of one application."""
    configuration = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))
    (application,) = configuration["applications"]
    application["args"]["models"] = str(models)
    # Two cores serve everything here: Ray is not to refuse a second replica.
    two = {"min_replicas": 2, "max_replicas": 2}
    application["deployments"] = [
        {"name": "Replica", "ray_actor_options": {"num_cpus": 0.2}, "autoscaling_config": two}
    ]
    if environment:  # without Serve's proxy a replica may send what it has
        application["args"]["messages_per_second"] = 1e6
    configuration["grpc_options"]["port"] = _PORT
    before = {process.pid for process in psutil.process_iter()}
    log = Path(os.environ["RAY_TMPDIR"]) / "serve.log"
    with started(binaries, configuration, log, **environment) as cluster:
        _wait_until(lambda: len(cluster.replicas(MODEL)) == 2)
        time.sleep(5)  # until both are known to the proxy
        yield Arrangement(
            cluster.address,
            lambda: cluster.replicas(MODEL),
            lambda: [process for process in psutil.process_iter() if process.pid not in before],
        )


@contextlib.contextmanager
def ray_haproxy(models: Path, binaries: Path) -> Iterator[Arrangement]:
    """Two replicas of one application, which HAProxy calls directly."""
    with ray_serve(models, binaries, RAY_SERVE_ENABLE_HA_PROXY="1") as arrangement:
        yield arrangement


ARRANGEMENTS: dict[str, Callable[[Path, Path], contextlib.AbstractContextManager[Arrangement]]] = {
    "direct": direct,
    "envoy": envoy,
    "ray": ray_serve,
    "ray-haproxy": ray_haproxy,
}


@contextlib.contextmanager
def _two_servers(models: Path) -> Iterator[tuple[list[str], list[psutil.Process]]]:
    with serving(models, "--threads", "1") as first, serving(models, "--threads", "1") as second:
        yield [first.address, second.address], [first.process, second.process]


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the second replica did not start")
        time.sleep(0.2)
