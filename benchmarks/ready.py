"""A gRPC server that computes nothing: every call gets the same ready-made messages, as fast as grpc.aio sends them.

The yardstick for what messages cost. It listens on a free port, says which, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc
import uvloop

SERVICE, METHOD = "seqstream.v1.GenerationService", "Generate"


def save(messages: Sequence[bytes], path: Path) -> None:
    """Write serialised messages to a file for this server."""
    path.write_bytes(b"".join(len(message).to_bytes(4, "big") + message for message in messages))


def load(path: Path) -> list[bytes]:
    """Read what `save` wrote."""
    content, messages = path.read_bytes(), []
    while content:
        end = 4 + int.from_bytes(content[:4], "big")
        messages.append(content[4:end])
        content = content[end:]
    return messages


async def serve(messages: Sequence[bytes]) -> None:
    """Answer every call with `messages`, until standard input ends."""

    async def generate(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        for message in messages:
            await context.write(message)

    server = grpc.aio.server(options=(("grpc.max_concurrent_streams", 1024),))
    handler = grpc.unary_stream_rpc_method_handler(generate)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    uvloop.run(serve(load(Path(sys.argv[1]))))
