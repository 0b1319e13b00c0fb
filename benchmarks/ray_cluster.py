"""Ray Serve on this machine, started with the commands of deploy/ray/README.md. To be run by `run_alone`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil

from protos.seqstream.v1.model_pb2 import GetModelRequest
from protos.seqstream.v1.model_pb2_grpc import ModelServiceStub

ROOT = Path(__file__).parents[1]
CONFIGURATION = ROOT / "deploy" / "ray" / "serve.yaml"
_PATIENCE = 120.0
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
    "RAY_AUTH_MODE": "disabled",
    "RAY_raylet_start_wait_time_s": "150",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@dataclass(frozen=True)
class Cluster:
    """A running cluster. log: what Serve and the replicas wrote."""

    address: str
    log: Path

    def replicas(self, application: str) -> list[psutil.Process]:
        """Return the processes of an application's replicas."""
        title = f"ray::ServeReplica:{application}:"
        return [process for process in psutil.process_iter() if _title(process).startswith(title)]


@contextlib.contextmanager
def started(binaries: Path, configuration: Mapping[str, Any], log: Path, **environment: str) -> Iterator[Cluster]:
    """Start Ray and Serve with `configuration`, and wait until a model of every application's name answers.

    What Ray itself starts ends with the namespace.
    """
    environment = {**os.environ, **_ENVIRONMENT, **environment}
    session = Path(os.environ["RAY_TMPDIR"])
    written = session / "serve.json"
    written.write_text(json.dumps(configuration), encoding="utf-8")
    start = ("start", "--head", "--node-ip-address", "127.0.0.1", "--num-cpus", "2", "--include-dashboard", "false")
    limits = ("--object-store-memory", "100000000", "--temp-dir", str(session), "--disable-usage-stats")
    subprocess.run([binaries / "ray", *start, *limits], env=environment, check=True, stdout=subprocess.DEVNULL)
    address = f"127.0.0.1:{configuration['grpc_options']['port']}"
    command = [str(binaries / "serve"), "run", str(written)]
    with (
        log.open("w", encoding="utf-8") as output,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT) as running,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(running.kill)
        for application in configuration["applications"]:
            _wait_for(address, application["name"], log)
        yield Cluster(address, log)


def _wait_for(address: str, model: str, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    with grpc.insecure_channel(address) as channel:
        while time.monotonic() < deadline:
            try:
                ModelServiceStub(channel).GetModel(GetModelRequest(model=model), timeout=5)
            except grpc.RpcError:
                time.sleep(0.3)
            else:
                return
    raise RuntimeError(f"{model} does not answer: {log.read_text(encoding='utf-8')[-4000:]}")


def _title(process: psutil.Process) -> str:
    try:
        return "".join(process.cmdline()[:1])
    except psutil.NoSuchProcess:
        return ""
