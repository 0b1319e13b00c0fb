"""python -m benchmarks.reload MODELS STREAMED LOADED: what streams see while versions of models come and go.

Every round measures the time between two messages of a stream while nothing else happens, while a version of LOADED is
loaded, and while the last one is unloaded and freed. STREAMED and LOADED may be the same model: its streams stay on the
version that they began with.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import numpy as np

from benchmarks.load import StreamRecord, receive, request
from benchmarks.server import serving
from protos.seqstream.v1.generation_pb2_grpc import GenerationServiceStub
from service.client import Client

Span = tuple[float, float]
_TOKENS = 1000  # of one stream, after which its place is taken by the next
_SECONDS = 3.0  # of rest


def measure(models: Path, streamed: str, loaded: str, streams: int, rounds: int, flags: list[str]) -> dict[str, float]:
    """Return the times between messages (milliseconds) and those of loading and freeing (seconds)."""
    with tempfile.TemporaryDirectory(dir=models.parent) as place:
        folder = Path(place)
        for name in {streamed, loaded}:
            _put(models / name / "1", folder / name / "1")
        with serving(folder, "--anonymous-role", "admin", *flags) as server:
            versions = [(models / loaded / "1", folder / loaded / str(number)) for number in range(2, rounds + 2)]
            return asyncio.run(_observe(server.address, streamed, versions, streams))


async def _observe(address: str, streamed: str, versions: list[tuple[Path, Path]], streams: int) -> dict[str, float]:
    """versions: bundles, and where they are put, one after the other."""
    spans: dict[str, list[Span]] = {"rest": [], "loading": [], "freeing": []}
    async with _streams(address, f"{streamed}@1", streams) as records, Client(address) as client:
        await asyncio.sleep(1.0)
        for bundle, place in versions:
            _put(bundle, place)
            reference = f"{place.parent.name}@{place.name}"
            async with _span(spans["rest"]):
                await asyncio.sleep(_SECONDS)
            async with _span(spans["loading"]):
                await client.load(reference)
            await asyncio.sleep(0.5)
            async with _span(spans["freeing"]):
                await client.unload(reference)
                await asyncio.sleep(0.1)  # it is let go just behind the answer
            shutil.rmtree(place)
    found = {f"{name}_{key}": value for name, some in spans.items() for key, value in _figures(records, some).items()}
    found["loading_seconds"] = float(np.median([end - begin for begin, end in spans["loading"]]))
    return found


@contextlib.asynccontextmanager
async def _streams(address: str, model: str, count: int) -> AsyncIterator[list[StreamRecord]]:
    """Keep so many streams of `model` running. Yields all that there were until now."""
    records: list[StreamRecord] = []

    async def follow(stub: GenerationServiceStub) -> None:
        while True:
            records.append(StreamRecord(time.perf_counter()))
            await receive(stub, request(model, "", _TOKENS), records[-1])

    async with grpc.aio.insecure_channel(address) as channel:
        tasks = [asyncio.create_task(follow(GenerationServiceStub(channel))) for _ in range(count)]
        try:
            yield records
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def _span(spans: list[Span]) -> AsyncIterator[None]:
    begin = time.perf_counter()
    yield
    spans.append((begin, time.perf_counter()))


def _figures(records: list[StreamRecord], spans: list[Span]) -> dict[str, float]:
    gaps = 1e3 * np.array([gap for span in spans for gap in _gaps(records, span)])
    return {
        "mean_ms": float(gaps.mean()),
        "median_ms": float(np.median(gaps)),
        "p99_ms": float(np.quantile(gaps, 0.99)),
        "largest_ms": float(gaps.max()),
    }


def _gaps(records: list[StreamRecord], span: Span) -> Iterator[float]:
    """Yield the times per token between two messages of one stream, if the later one came within `span`."""
    for record in records:
        for (before, _), (now, count) in zip(record.arrivals, record.arrivals[1:], strict=False):
            if span[0] <= now <= span[1]:
                yield from [(now - before) / count] * count


def _put(bundle: Path, target: Path) -> None:
    """Link the files of a bundle, and say that they are another version."""
    target.mkdir(parents=True)
    for file in bundle.iterdir():
        if file.name != "bundle.json":
            os.link(file, target / file.name)
    manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    text = json.dumps({**manifest, "version": int(target.name)})
    (target / "bundle.json").write_text(text, encoding="utf-8")


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reload", description=__doc__)
    parser.add_argument("models", type=Path, help="folder of bundles")
    parser.add_argument("streamed", help="model whose streams are watched")
    parser.add_argument("loaded", help="model of which versions come and go")
    parser.add_argument("--streams", type=int, default=4, help="at once [%(default)s]")
    parser.add_argument("--rounds", type=int, default=3, help="[%(default)s]")
    parser.add_argument("flags", nargs="*", help="of the server, behind --")
    options = parser.parse_args()
    figures = measure(options.models, options.streamed, options.loaded, options.streams, options.rounds, options.flags)
    print(json.dumps({key: round(value, 3) for key, value in figures.items()}), flush=True)


if __name__ == "__main__":
    main()
