"""The page as it is deployed: its built files behind nginx, nginx and servers behind Envoy, all on free ports."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.balancers import envoy, find, free_port

__all__ = ["NEEDED", "ROOT", "WEB", "build", "files", "find", "served"]

ROOT = Path(__file__).parents[2]
WEB = ROOT / "deploy" / "web"
_START_SECONDS = 15.0
NEEDED = ("node", "npm", "nginx", "envoy", "chromium")


def build() -> Path:
    """Build the page. Returns the folder of its files. Raises RuntimeError with what npm wrote."""
    done = subprocess.run(["bash", str(WEB / "build.sh")], capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"the page does not build: {done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return WEB / "dist"


@contextlib.contextmanager
def files(folder: Path) -> Iterator[str]:
    """Serve files by nginx as it is deployed. Yields "host:port"."""
    address = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as scratch:
        # As another user, where the tests are root: nginx's workers are nobody.
        Path(scratch).chmod(0o755)
        shutil.copytree(folder, f"{scratch}/page")
        configuration = (WEB / "nginx.conf").read_text(encoding="utf-8")
        # Folders first: what comes later may lie in /tmp itself.
        changes = {"/tmp/": f"{scratch}/", "listen 8081": f"listen {address}", "root /page": f"root {scratch}/page"}
        for deployed, here in changes.items():
            assert deployed in configuration
            configuration = configuration.replace(deployed, here)
        (Path(scratch) / "nginx.conf").write_text(configuration, encoding="utf-8")
        command = [find("nginx"), "-p", scratch, "-e", "stderr", "-c", f"{scratch}/nginx.conf", "-g", "daemon off;"]
        with subprocess.Popen(command) as process:
            try:
                _wait_for(address)
                yield address
            finally:
                process.terminate()
                process.wait()


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"http://{address}/", timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@contextlib.contextmanager
def served(folder: Path, servers: Sequence[str]) -> Iterator[str]:
    """Serve the page in `folder` in front of `servers`. Yields its origin, "http://host:port"."""
    with files(folder) as page, envoy(servers, page) as balancer:
        yield f"http://{balancer.web}"
