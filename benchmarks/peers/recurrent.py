"""LSTM and GRU language models (8k words, 512 × 2) beside a PyTorch loop behind grpcio: 1, 8, 32 and 128 streams."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import grpc
import psutil

from benchmarks.peers.catalogue import System
from benchmarks.peers.contestant import Answer, Contestant, Failure
from benchmarks.peers.place import Place
from benchmarks.peers.results import Results
from benchmarks.peers.turns import Case, Prompts, line_up, take_turns
from benchmarks.peers.untrained import prepare

KINDS = ("lstm", "gru")
VOCABULARY, WIDTH, LAYERS = 8_000, 512, 2
PROMPT, NEW_TOKENS = 16, 64
STREAMS = {1: (5, 10.0), 8: (3, 15.0), 32: (3, 20.0), 128: (2, 30.0)}
METHOD = "/peer.Generation/Generate"


class TorchServer:
    """The loop behind grpcio, asked over one connection."""

    def __init__(self, address: str, process: int) -> None:
        self._address, self._process = address, psutil.Process(process)

    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int, timeout: float) -> Answer:
        arrivals = asyncio.run(self._generate(prompts, new_tokens, timeout))
        return Answer(arrivals, [], int(self._process.memory_info().rss))

    def loss(self, windows: Sequence[Sequence[int]], first: int, timeout: float) -> float:
        raise Failure("untrained")

    async def _generate(self, prompts: Sequence[Sequence[int]], new_tokens: int, seconds: float) -> list[list[float]]:
        async with grpc.aio.insecure_channel(self._address) as channel:
            call, began = channel.unary_stream(METHOD, bytes, bytes), time.perf_counter()

            async def stream(prompt: Sequence[int]) -> list[float]:
                asked = json.dumps({"prompt": list(prompt), "new_tokens": new_tokens}).encode()
                return [time.perf_counter() - began async for _ in call(asked, timeout=seconds)]

            try:
                return list(await asyncio.gather(*map(stream, prompts)))
            except grpc.aio.AioRpcError as error:
                raise Failure(f"{error.code().name}: {error.details()}") from None


@contextlib.contextmanager
def _torch(place: Place, kind: str, sharing: str) -> Iterator[Contestant]:
    command = [str(place.python), "-m", "benchmarks.peers.systems.torch_grpc", kind, sharing, str(place.threads)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise Failure("its process ended before it listened")
            yield TorchServer(json.loads(line)["address"], process.pid)
        finally:
            process.kill()


def measure(place: Place, results: Results, tell: Callable[[str], None]) -> None:
    """Measure both kinds."""
    for kind in KINDS:
        cases = [Case(f"{kind}-{n}", _prompts(n), NEW_TOKENS, *limits) for n, limits in STREAMS.items()]
        names = ("ours", "torch-threads", "torch-lock", "triton")
        if all(results.has(case.name, name) for case in cases for name in names):
            continue
        prepare(place.model(f"ours-{kind}"), kind, {"width": WIDTH, "layers": LAYERS, "vocabulary_size": VOCABULARY})
        ours = System("ours", "seqstream", 32, f"ours-{kind}", flags=("--rows", "128"))
        with line_up([ours, _triton(kind)], place, tell) as up, contextlib.ExitStack() as stack:
            everyone = {**up, **_peers(stack, place, kind)}
            for case in cases:
                tell(case.name)
                take_turns(case, everyone, place, results)


def _triton(kind: str) -> System:
    def command(place: Place, _: str) -> list[str]:
        return [str(place.triton_python), "-m", "benchmarks.peers.systems.triton", kind, str(place.threads)]

    return System("triton", "PyTriton", 32, "", command)  # it makes its model itself


def _peers(stack: contextlib.ExitStack, place: Place, kind: str) -> Mapping[str, Contestant]:
    return {f"torch-{sharing}": stack.enter_context(_torch(place, kind, sharing)) for sharing in ("threads", "lock")}


def _prompts(streams: int) -> Callable[[int], Prompts]:
    def prompts(number: int) -> Prompts:
        source = random.Random(100 * streams + number)
        return [[source.randrange(3, VOCABULARY) for _ in range(PROMPT)] for _ in range(streams)]

    return prompts
