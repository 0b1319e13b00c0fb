"""Time from `run` of a container to SERVING, as a client outside sees it: start.py ENGINE IMAGE MODELS [RUNS].

Prints the median and the slowest of RUNS starts (default 5), in seconds.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time

import grpc

from service.probe import ask

_LIMIT_SECONDS = 60.0


def main() -> int:
    """Measure. Returns the exit code."""
    engine, image, models, *runs = sys.argv[1:]
    seconds = [start(engine, image, models) for _ in range(int(runs[0]) if runs else 5)]
    print(f"{statistics.median(seconds):.2f} s (slowest of {len(seconds)}: {max(seconds):.2f} s)")
    return 0


def start(engine: str, image: str, models: str) -> float:
    """Run a server until it is SERVING, and remove it. Returns the seconds that took. Raises TimeoutError."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    hardened = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp")
    options = (*hardened, "--no-healthcheck", f"--volume={models}:/models:ro", f"--publish={address}:50051")
    began = time.monotonic()
    command = [engine, "run", "--detach", *options, image]
    container = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        while time.monotonic() - began < _LIMIT_SECONDS:
            try:
                if ask(address, "", 1.0) == "SERVING":
                    return time.monotonic() - began
            except grpc.RpcError:
                time.sleep(0.02)
        raise TimeoutError(f"{image}: not SERVING after {_LIMIT_SECONDS:g} s")
    finally:
        subprocess.run([engine, "rm", "--force", "--time=0", container], check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
