"""python -m benchmarks.ceiling: how near the server comes to a bare grpc.aio server that sends the same bytes.

A Markov model, which costs nothing, one token a message. Both servers answer the same calls of the same client, h2load
of nghttp2 (Debian: nghttp2-client), which parses nothing. Runs alternate; figures are medians, and the ratio is that of
neighbouring runs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import grpc
import psutil

from benchmarks import ready
from benchmarks.load import request
from benchmarks.models import prepare
from benchmarks.server import ServerProcess, serving

MODEL = "markov"
METHOD = f"/{ready.SERVICE}/{ready.METHOD}"
_LEAST_CALLS, _LONG = 64, 200  # calls in one run, so that it lasts a second; but one each where calls are short


@dataclass(frozen=True, slots=True)
class Sent:
    """messages: a second.    cpu, client_cpu: of server and client, microseconds a message."""

    messages: float
    cpu: float
    client_cpu: float


def measure(models: Path, name: str, streams: int, rounds: int, tokens: int = 384) -> list[tuple[Sent, Sent]]:
    """Return what our server and the bare one sent, in turn, over `streams` streams of `tokens` tokens at a time."""
    found = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        call, body = write_call(folder, name, tokens)
        flags = ("--threads", "1", "--rows", str(max(streams, 32)))
        server = stack.enter_context(serving(models, *flags))
        messages = asyncio.run(_record(server.address, body))
        ready.save(messages, folder / "messages")
        other = stack.enter_context(_bare(folder / "messages"))
        for _ in range(1 + rounds):
            both = (send(one, call, streams, len(messages)) for one in (server, other))
            found.append((next(both), next(both)))
    return found[1:]  # the first round warms both up


def compare(models: Path, streams: int, rounds: int) -> dict[str, float]:
    """Return the figures of served and bare messages over `streams` streams at a time."""
    pairs = measure(models, MODEL, streams, rounds)
    return {
        "streams": streams,
        "served_messages_per_second": median(ours.messages for ours, _ in pairs),
        "bare_messages_per_second": median(theirs.messages for _, theirs in pairs),
        "served_over_bare": median(ours.messages / theirs.messages for ours, theirs in pairs),
        "served_cpu_microseconds_per_message": median(ours.cpu for ours, _ in pairs),
        "bare_cpu_microseconds_per_message": median(theirs.cpu for _, theirs in pairs),
    }


async def _record(address: str, body: bytes) -> list[bytes]:
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_stream(METHOD, request_serializer=None, response_deserializer=None)
        return [message async for message in call(body)]


@contextlib.contextmanager
def _bare(messages: Path) -> Iterator[ServerProcess]:
    command = [sys.executable, "-m", "benchmarks.ready", str(messages)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield ServerProcess(process.stdout.readline().split()[-1], psutil.Process(process.pid))
        process.stdin.close()


def write_call(folder: Path, name: str, tokens: int) -> tuple[Path, bytes]:
    """Write a call for `tokens` tokens, one a message, for `send` to make. Returns its file, and the request in it."""
    wanted = request(name, "", tokens)
    wanted.output.max_tokens_per_message = 1
    body = wanted.SerializeToString()
    (folder / "call").write_bytes(b"\0" + len(body).to_bytes(4, "big") + body)
    return folder / "call", body


def send(server: ServerProcess, call: Path, streams: int, messages: int) -> Sent:
    """Return what `server` sent in answer to `call`, `messages` messages each, `streams` times at once."""
    calls = max(_LEAST_CALLS, streams) if messages > _LONG else streams
    before, clients = server.cpu_seconds, _children()
    headers = ("-H", "content-type: application/grpc", "-H", "te: trailers", "-H", ":method: POST")
    command = ["h2load", "-n", str(calls), "-c1", "-t1", "-m", str(streams), "-d", str(call), *headers]
    said = subprocess.run([*command, f"http://{server.address}{METHOD}"], capture_output=True, text=True, check=True)
    found = re.search(r"finished in ([\d.]+)(m?s),.*?(\d+) succeeded", said.stdout, re.DOTALL)
    if found is None or int(found[3]) != calls:
        raise RuntimeError(f"h2load: not every call was answered: {said.stdout}")
    seconds = float(found[1]) * (1e-3 if found[2] == "ms" else 1)
    total = calls * messages
    costs = (server.cpu_seconds - before, _children() - clients)
    return Sent(total / seconds, *(1e6 * cost / total for cost in costs))


def _children() -> float:
    """Return the CPU seconds of processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print the figures of every number of streams, one line of JSON each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ceiling", description=__doc__)
    parser.add_argument("streams", nargs="*", type=int, default=[1, 8, 32, 128], help="how many at a time")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"), help="for the models [%(default)s]")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of runs [%(default)s]")
    options = parser.parse_args()
    models = prepare(options.folder, (MODEL,))
    for streams in options.streams:
        print(json.dumps(compare(models, streams, options.rounds)), flush=True)


if __name__ == "__main__":
    main()
