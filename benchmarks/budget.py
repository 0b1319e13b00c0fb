"""python -m benchmarks.budget: where the time of one step goes, part by part, in microseconds.

What the engine's thread and the event loop do is timed in this process, around the server's own objects. What gRPC and
the client take is the CPU time of processes, a message, with one token in each: medians. Knows where the parts meet.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks import ceiling
from benchmarks.load import request
from benchmarks.models import prepare
from bundle.folder import TOKENIZER, open_bundle
from bundle.runner import Runner
from bundle.tokenizer import Tokenizer
from service.batch import Batch
from service.inbox import Inbox
from service.request import GenerationRequest, SamplingParameters, StopConditions
from service.sequence import Sequence
from service.stream import Stream
from service.wire.checks import fill_defaults
from service.wire.reply import Reply

Figures = dict[str, float]
_SECONDS, _LEAST, _MOST = 4.0, 20, 2000  # of measuring; steps
NAMES = ("markov", "gru")


class Meter:
    """Times of calls, by the name of a part."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def time(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return `call`, timed."""

        def timed(*given: object) -> object:
            began = time.perf_counter()
            try:
                return call(*given)
            finally:
                self.seconds[part].append(time.perf_counter() - began)

        return timed

    def microseconds(self, part: str) -> float:
        """Return the tenth percentile: what else runs on the machine only adds."""
        return 1e6 * quantiles(self.seconds[part], n=10)[0]


class _Session:
    """A session whose runs are timed: its methods cannot be replaced one by one."""

    def __init__(self, session: Any, meter: Meter) -> None:  # noqa: ANN401
        self.io_binding = session.io_binding
        self.run_with_iobinding = meter.time("runtime", session.run_with_iobinding)


def inside(runner: Runner, tokenizer: Tokenizer, streams: int, sampling: SamplingParameters) -> Figures:
    """Return what the parts of one step of `streams` rows take, in microseconds, up to finished messages."""
    meter, inbox = Meter(), Inbox[Any]()
    batch = Batch(runner, streams, 256, time.monotonic)
    for row in range(streams):
        asked = GenerationRequest("r", (row % 7 + 1,), StopConditions(10**6), sampling=sampling, seed=row)
        batch.add(Sequence(Stream(asked, inbox, time.monotonic), 0.0))
    first = batch.iterate()
    runner._step = _Session(runner._step, meter)
    runner.step = meter.time("step", runner.step)  # type: ignore[method-assign]
    sampler = batch._slots.sampler
    sampler.choose = meter.time("sampling", sampler.choose)  # type: ignore[method-assign]
    outlets = [outlet for tokens in first.tokens[:1] for outlet in tokens.outlets]
    wire = request("", "", 1)
    wire.output.max_tokens_per_message = 1
    fill_defaults(wire)
    replies = [Reply(0, tokenizer, wire) for _ in outlets]
    decoders = [tokenizer.decoder() for _ in outlets]

    def messages() -> None:
        for outlet, reply in zip(outlets, replies, strict=True):
            if (chunk := outlet.take()) is not None:
                list(reply.deltas(chunk))

    def text(tokens: list[int]) -> None:
        for decoder, token in zip(decoders, tokens, strict=True):
            decoder.push(token)

    end, steps = time.perf_counter() + _SECONDS, 0
    while steps < _MOST and (steps < _LEAST or time.perf_counter() < end):
        delivery = meter.time("iteration", batch.iterate)()
        meter.time("hand-out", delivery.hand_out)()
        meter.time("detokenizing", text)(delivery.tokens[-1].tokens)
        meter.time("messages", messages)()
        steps += 1
    runtime, step, sampled = (meter.microseconds(part) for part in ("runtime", "step", "sampling"))
    return {
        "runtime": runtime,
        "binding": step - runtime,
        "sampling": sampled,
        "account": meter.microseconds("iteration") - step - sampled,
        "hand-out": meter.microseconds("hand-out"),
        "detokenizing": meter.microseconds("detokenizing"),
        "messages": meter.microseconds("messages") - meter.microseconds("detokenizing"),
    }


def outside(models: Path, name: str, streams: int, tokens: int) -> Figures:
    """Return the CPU time of one message: of the whole server, of gRPC with ready-made bytes, and of the client."""
    found = ceiling.measure(models, name, streams, 3, tokens)
    return {
        "server a message": median(ours.cpu for ours, _ in found),
        "gRPC a message": median(bare.cpu for _, bare in found),
        "client a message": median(ours.client_cpu for ours, _ in found),
    }


def main() -> None:
    """Print one line of JSON for every model and number of streams."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget", description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, help="models [%(default)s]")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"), help="for the models [%(default)s]")
    parser.add_argument("--models", type=Path, help="folder of bundles that are there already, instead")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--threads", type=int, default=1, help="that compute [%(default)s]")
    parser.add_argument("--top-k", type=int, default=0, help="draw among the likeliest; 0: take the likeliest")
    parser.add_argument("--tokens", type=int, default=384, help="of a stream over gRPC; 0: leave gRPC out")
    options = parser.parse_args()
    models = options.models or prepare(options.folder, options.names)
    sampling = SamplingParameters(temperature=float(options.top_k > 0), top_k=options.top_k)
    for name in options.names:
        bundle = open_bundle(models / name / "1")
        tokenizer = Tokenizer.load(bundle.path / TOKENIZER)
        for streams in options.streams:
            figures = inside(Runner(bundle, threads=options.threads), tokenizer, streams, sampling)
            if options.tokens:
                figures |= outside(models, name, streams, options.tokens)
            rounded = {part: round(value, 1) for part, value in figures.items()}
            print(json.dumps({"model": name, "streams": streams, **rounded}), flush=True)


if __name__ == "__main__":
    main()
