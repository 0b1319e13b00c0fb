"""A system that is up and can be asked: a peer's process, or our server over gRPC. Both answer in the same terms."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import grpc

from benchmarks.peers.catalogue import System
from benchmarks.peers.place import Place
from benchmarks.server import ServerProcess, serving
from protos.seqstream.v1 import generation_pb2 as wire
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub

START_SECONDS = 120.0
Prompts = Sequence[Sequence[int]]


class Failure(Exception):  # noqa: N818 it is reported, not a fault
    """A system does not answer, or answers that it cannot. The message is one line."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: arrivals of every stream's tokens in seconds since all were sent, the tokens if told, memory."""

    arrivals: list[list[float]]
    tokens: list[list[int]]
    resident_bytes: int


class Contestant(Protocol):
    """A system that is up."""

    def generate(self, prompts: Prompts, new_tokens: int, timeout: float) -> Answer:
        """Continue all prompts at once, greedily. Raises Failure."""

    def loss(self, windows: Prompts, first: int, timeout: float) -> float:
        """Return the sum of -log p of tokens first + 1 ... of all windows. Raises Failure."""


class PeerProcess:
    """A peer, asked by JSON lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process, self._in, self._out = process, process.stdin, process.stdout
        _read(self._out, START_SECONDS)

    def generate(self, prompts: Prompts, new_tokens: int, timeout: float) -> Answer:
        answer = self._ask({"prompts": [list(prompt) for prompt in prompts], "new_tokens": new_tokens}, timeout)
        return Answer(answer["arrivals"], answer["tokens"], answer["resident_bytes"])

    def loss(self, windows: Prompts, first: int, timeout: float) -> float:
        return float(self._ask({"windows": list(windows), "first": first}, timeout)["loss"])

    def _ask(self, question: dict[str, Any], timeout: float) -> dict[str, Any]:
        if self._process.poll() is not None:
            raise Failure(f"its process has ended with code {self._process.returncode}")
        self._in.write(json.dumps(question) + "\n")
        self._in.flush()
        try:
            return _read(self._out, timeout)
        except Failure:
            _kill(self._process)  # what it would answer later belongs to no question
            raise


class OurServer:
    """Our server, asked over one connection as any client does."""

    def __init__(self, server: ServerProcess, model: str) -> None:
        self._server, self._model = server, model

    def generate(self, prompts: Prompts, new_tokens: int, timeout: float) -> Answer:
        streams = asyncio.run(self._generate(prompts, new_tokens, timeout))
        return Answer([one[0] for one in streams], [one[1] for one in streams], self._server.resident_bytes)

    def loss(self, windows: Prompts, first: int, timeout: float) -> float:
        with grpc.insecure_channel(self._server.address) as channel:
            stub = GenerationServiceStub(channel)
            total = 0.0
            for window in windows:
                asked = wire.ScoreRequest(
                    model=self._model,
                    token_ids=wire.TokenIds(ids=window[: first + 1]),
                    continuation_token_ids=wire.TokenIds(ids=window[first + 1 :]),
                )
                total -= stub.Score(asked, timeout=timeout).total_logprob
        return total

    def _request(self, prompt: Sequence[int], new_tokens: int) -> wire.GenerateRequest:
        return wire.GenerateRequest(
            model=self._model,
            token_ids=wire.TokenIds(ids=prompt),
            seed=1,
            sampling=wire.SamplingParameters(temperature=0.0),
            stop=wire.StopConditions(max_new_tokens=new_tokens, ignore_end_of_sequence=True),
        )

    async def _generate(self, prompts: Prompts, new_tokens: int, seconds: float) -> list[tuple[list[float], list[int]]]:
        async with grpc.aio.insecure_channel(self._server.address) as channel:
            stub, began = GenerationServiceStub(channel), time.perf_counter()
            streams = (_stream(stub, self._request(prompt, new_tokens), began, seconds) for prompt in prompts)
            try:
                return list(await asyncio.gather(*streams))
            except grpc.aio.AioRpcError as error:
                raise Failure(f"{error.code().name}: {error.details()}") from None


async def _stream(
    stub: GenerationServiceStub, message: wire.GenerateRequest, began: float, seconds: float
) -> tuple[list[float], list[int]]:
    arrivals: list[float] = []
    tokens: list[int] = []
    async for response in stub.Generate(message, timeout=seconds):
        ids = response.delta.token_ids
        arrivals.extend([time.perf_counter() - began] * len(ids))
        tokens.extend(ids)
    return arrivals, tokens


def model_name(models: Path) -> str:
    """Return the name of the model that lies alone in a folder of models of ours. Raises Failure."""
    manifests = list(models.glob("*/*/bundle.json"))
    if len(manifests) != 1:
        raise Failure(f"{models} holds {len(manifests)} bundles, and must hold one")
    return manifests[0].parts[-3]


@contextlib.contextmanager
def running(system: System, place: Place, log: Path) -> Iterator[Contestant]:
    """Start a system and end it with the block; what it prints goes to `log`. Raises Failure."""
    model = place.model(system.model)
    if not model.exists():
        raise Failure(f"{model.name} was not prepared; see prepare.json for the reason")
    if system.command is None:
        with serving(model, "--threads", str(place.threads), *system.flags) as server:
            yield OurServer(server, model_name(model))
        return
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(place.threads)}
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            system.command(place, system.model),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            env=environment,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield PeerProcess(process)
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):
        assert process.stdin is not None
        process.stdin.close()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        _kill(process)


def _kill(process: subprocess.Popen[str]) -> None:
    """End the process and those that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _read(lines: IO[str], timeout: float) -> dict[str, Any]:
    if not select.select([lines], [], [], timeout)[0]:
        raise Failure(f"no answer within {timeout:.0f} s")
    line = lines.readline()
    if not line:
        raise Failure("its process ended without an answer; its log says why")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise Failure(str(answer["error"]))
    return answer
