"""Podman and podman-compose as the tests use them: in a store of their own, prepared by deploy/containers/engine.sh."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = ROOT / "deploy" / "containers"
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp")


class CannotRunError(Exception):
    """There are no containers on this machine. The message says why."""


@dataclass(frozen=True)
class Engine:
    """Podman. `environment` points it at its store, and names the base of images."""

    environment: dict[str, str] = field(repr=False)

    def run(self, *command: str, check: bool = True, timeout: float = 120, **variables: str) -> str:
        """Run a command to its end. Returns its standard output. Raises RuntimeError with what it wrote if it fails."""
        options = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": timeout}
        done = subprocess.run(command, check=False, env=self.environment | variables, **options)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout.strip()

    def podman(self, *arguments: str, check: bool = True) -> str:
        """Run podman."""
        return self.run("podman", *arguments, check=check)

    def logs(self, container: str) -> str:
        """Return what a container wrote, to both of its outputs."""
        command = ["podman", "logs", container]
        both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(command, env=self.environment, text=True, check=True, **both).stdout

    def inspect(self, container: str) -> Any:
        """Return what podman knows of a container."""
        return json.loads(self.podman("container", "inspect", container))[0]

    def address(self, container: str) -> str:
        """Return the address of a container that runs, reachable from this machine."""
        networks = self.inspect(container)["NetworkSettings"]["Networks"]
        return str(next(iter(networks.values()))["IPAddress"])

    def build(self, *images: str) -> None:
        """Build images of deploy/containers/build.sh; what has not changed is cached."""
        self.run("bash", str(SCRIPTS / "build.sh"), *images, timeout=1800)


def prepare() -> Engine:
    """Install and configure podman, and make the base image. Raises CannotRunError, RuntimeError."""
    script = f". {SCRIPTS / 'engine.sh'}; podman run --rm $BASE_IMAGE true >&2; env -0"
    environment = {**os.environ, "ENGINE": "podman"}
    process = subprocess.run(["bash", "-c", script], env=environment, check=False, capture_output=True, text=True)
    if process.returncode:
        raise CannotRunError(f"podman cannot run here: {process.stderr.strip()[-500:]}")
    found = dict(entry.split("=", 1) for entry in process.stdout.split("\0") if "=" in entry)
    return Engine(found | {"ENGINE": "podman"})


def compose_program() -> str:
    """Return the path of podman-compose, which comes with the development tools."""
    beside = Path(sys.executable).parent / "podman-compose"
    found = str(beside) if beside.exists() else shutil.which("podman-compose")
    assert found, "podman-compose is missing: pip install 'seqstream[dev]'"
    return found
