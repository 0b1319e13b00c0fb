"""`python -m service.probe`: ask a server how it is, by grpc.health.v1. For containers and scripts.

Imports neither ONNX Runtime nor NumPy: a container runs it every few seconds.
"""

from __future__ import annotations

import argparse
import os
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def main(arguments: list[str] | None = None) -> int:
    """Ask once. Returns 0 if the answer is SERVING, 1 if it is not or none comes; argparse exits with 2."""
    parser = argparse.ArgumentParser(prog="python -m service.probe", description="Ask whether a server serves.")
    parser.add_argument(
        "--address",
        default=f"localhost:{_port()}",
        metavar="HOST:PORT",
        help="default: localhost, and the port in SEQSTREAM_HEALTH_PORT, in SEQSTREAM_PORT, or 50051",
    )
    parser.add_argument("--model", default="", metavar="NAME", help="one model instead of all of the server")
    parser.add_argument("--timeout", type=float, default=2.0, metavar="SECONDS", help="default: 2")
    given = parser.parse_args(arguments)
    try:
        status = ask(given.address, given.model, given.timeout)
    except grpc.RpcError as error:
        # What a call raises is a call, too.
        print(f"error: {given.address}: {error.code().name}: {error.details()}", file=sys.stderr)
        return 1
    print(status)
    return 0 if status == "SERVING" else 1


def _port() -> str:
    """Return where the server of this environment answers without TLS."""
    return os.environ.get("SEQSTREAM_HEALTH_PORT") or os.environ.get("SEQSTREAM_PORT") or "50051"


def ask(address: str, model: str, timeout: float) -> str:
    """Return the name of the status. Raises grpc.RpcError."""
    with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        request = health_pb2.HealthCheckRequest(service=model)
        response = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))


if __name__ == "__main__":
    sys.exit(main())
