"""Load on a server: many streams at once over one connection, counted and timed. Knows the wire, not the engine."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import grpc

from protos.seqstream.v1 import generation_pb2 as wire
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub

Metadata = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class StreamRecord:
    """What one stream received: when its tokens came (seconds, monotonic clock) and how many at a time."""

    sent: float
    arrivals: list[tuple[float, int]] = field(default_factory=list)

    @property
    def first(self) -> float:
        return self.arrivals[0][0]

    @property
    def last(self) -> float:
        return self.arrivals[-1][0]

    @property
    def tokens(self) -> int:
        return sum(count for _, count in self.arrivals)


@dataclass(frozen=True, slots=True)
class LoadRecord:
    """What a number of streams received together."""

    streams: list[StreamRecord]

    @property
    def tokens_per_second(self) -> float:
        """Tokens a second while all streams run: from the last stream's first token to the first stream's last."""
        begin = max(stream.first for stream in self.streams)
        end = min(stream.last for stream in self.streams)
        counted = sum(count for stream in self.streams for when, count in stream.arrivals if begin < when <= end)
        return counted / (end - begin)

    @property
    def messages(self) -> int:
        return sum(len(stream.arrivals) for stream in self.streams)

    @property
    def tokens(self) -> int:
        return sum(stream.tokens for stream in self.streams)


def request(model: str, prompt: str, tokens: int, temperature: float = 0.0) -> wire.GenerateRequest:
    """Return a request for exactly `tokens` tokens."""
    return wire.GenerateRequest(
        model=model,
        text=prompt,
        seed=1,
        sampling=wire.SamplingParameters(temperature=temperature),
        stop=wire.StopConditions(max_new_tokens=tokens, ignore_end_of_sequence=True),
    )


async def run_stream(
    stub: GenerationServiceStub,
    message: wire.GenerateRequest,
    seconds: float | None = None,
    metadata: Metadata | None = None,
) -> StreamRecord:
    """Run one stream to its end; seconds: its deadline."""
    record = StreamRecord(time.perf_counter())
    await receive(stub, message, record, seconds, metadata)
    return record


async def receive(
    stub: GenerationServiceStub,
    message: wire.GenerateRequest,
    record: StreamRecord,
    seconds: float | None = None,
    metadata: Metadata | None = None,
) -> None:
    """Run one stream to its end, or for so many seconds, and record what comes as it comes."""
    async for response in stub.Generate(message, timeout=seconds, metadata=metadata):
        if count := len(response.delta.token_ids):
            record.arrivals.append((time.perf_counter(), count))


async def run_streams(address: str, message: wire.GenerateRequest, streams: int) -> LoadRecord:
    """Run `streams` equal streams at once over one connection."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = GenerationServiceStub(channel)
        return LoadRecord(list(await asyncio.gather(*(run_stream(stub, message) for _ in range(streams)))))
