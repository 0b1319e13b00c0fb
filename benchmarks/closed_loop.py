"""A steady load: so many streams at all times, each followed by the next, and what their readers see."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

import grpc
import numpy as np

from benchmarks.load import StreamRecord, receive, request, run_stream
from protos.seqstream.v1 import model_pb2
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub
from protos.seqstream.v1.model_pb2_grpc import ModelServiceStub

STREAMS = 64
SHORTEST, LONGEST = 32, 128  # tokens of a stream; every length between is as likely as any other
_LOOK_SECONDS = 0.2
# A channel that balances itself calls the server that it reached first until it has reached the others.
CONNECT_SECONDS = 0.5
# Calls of one channel go to every server that its address names; those that say NOT_SERVING get none.
_SERVICE_CONFIG = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
_OPTIONS = (("grpc.service_config", json.dumps(_SERVICE_CONFIG)), ("grpc.use_local_subchannel_pool", 1))


@dataclass(frozen=True, slots=True)
class Load:
    """What to ask for: `streams` at a time of `model` over one connection, counted for `seconds` after `warm_up`."""

    model: str
    streams: int = STREAMS
    warm_up: float = 1.0
    seconds: float = 3.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What readers saw. Times in seconds; a gap lies between two messages of a stream.

    imbalance: streams that the fullest server holds over the mean.  client_cpu: of the load generator, 1.0 is a core.
    """

    tokens_per_second: float
    messages_per_second: float
    first_token: float
    first_token_99: float
    gap: float
    gap_99: float
    imbalance: float
    client_cpu: float


def lengths(seed: int) -> Iterator[int]:
    """Yield the lengths of streams, in tokens."""
    source = random.Random(seed)
    while True:
        yield source.randint(SHORTEST, LONGEST)


async def run(address: str, servers: Sequence[str], load: Load, seed: int) -> Seen:
    """Load the servers behind `address`; `servers` are asked how many streams they hold."""
    records: list[StreamRecord] = []
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        stub = GenerationServiceStub(channel)
        await run_stream(stub, request(load.model, "", 1))
        await asyncio.sleep(CONNECT_SECONDS)
        asked = lengths(seed)
        clients = [asyncio.create_task(_client(stub, load.model, asked, records)) for _ in range(load.streams)]
        await asyncio.sleep(load.warm_up)
        begin, cpu = time.perf_counter(), time.process_time()
        imbalance = await _imbalance(servers, load.model, begin + load.seconds)
        end, cpu = time.perf_counter(), time.process_time() - cpu
        for client in clients:
            client.cancel()
        ended = await asyncio.gather(*clients, return_exceptions=True)
    for error in ended:
        if not isinstance(error, asyncio.CancelledError):
            raise error
    return _seen(records, begin, end, imbalance, cpu / (end - begin))


async def first_token(address: str, model: str, calls: int) -> float:
    """Return the median time to the first token, in seconds, of lone calls, one behind the other."""
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        stub = GenerationServiceStub(channel)
        records = [await run_stream(stub, request(model, "", 1)) for _ in range(calls)]
    return float(np.median([record.first - record.sent for record in records]))


async def _client(
    stub: GenerationServiceStub, model: str, asked: Iterator[int], records: list[StreamRecord]
) -> NoReturn:
    while True:
        records.append(StreamRecord(time.perf_counter()))
        await receive(stub, request(model, "", next(asked)), records[-1])


async def _imbalance(servers: Sequence[str], model: str, end: float) -> float:
    found = []
    async with contextlib.AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(grpc.aio.insecure_channel(server)) for server in servers]
        stubs = [ModelServiceStub(channel) for channel in channels]
        while time.perf_counter() < end:
            answers = await asyncio.gather(*(stub.GetModel(model_pb2.GetModelRequest(model=model)) for stub in stubs))
            held = [answer.model.load.running + answer.model.load.waiting for answer in answers]
            if sum(held):
                found.append(max(held) * len(held) / sum(held))
            await asyncio.sleep(min(_LOOK_SECONDS, end - time.perf_counter()))
    return float(np.mean(found))


def _seen(records: list[StreamRecord], begin: float, end: float, imbalance: float, cpu: float) -> Seen:
    arrivals = [one for record in records for one in record.arrivals if begin < one[0] <= end]
    firsts = [one.first - one.sent for one in records if one.arrivals and begin < one.first <= end]
    times = [np.array([when for when, _ in record.arrivals]) for record in records]
    gaps = np.concatenate([np.diff(row)[(row[1:] > begin) & (row[1:] <= end)] for row in times])
    return Seen(
        tokens_per_second=sum(count for _, count in arrivals) / (end - begin),
        messages_per_second=len(arrivals) / (end - begin),
        first_token=float(np.percentile(firsts, 50)),
        first_token_99=float(np.percentile(firsts, 99)),
        gap=float(np.percentile(gaps, 50)),
        gap_99=float(np.percentile(gaps, 99)),
        imbalance=imbalance,
        client_cpu=cpu,
    )
