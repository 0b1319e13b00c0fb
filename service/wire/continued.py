"""One generation as its caller sees it: a single stream of tokens, over however many calls it takes.

A call that breaks because its server is unavailable is followed by others, one for each sample that is not finished,
which go on where it broke.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Protocol, Self

import grpc

from protos.seqstream.v1 import generation_pb2 as pb
from service.answers import Delta, Finished, Result, Sample, Started, TokenLogprob
from service.failures import Internal
from service.retry import Attempts
from service.wire.failures import failure
from service.wire.progress import Progress

Call = grpc.aio.UnaryStreamCall[pb.GenerateRequest, pb.GenerateResponse]


class Method(Protocol):
    """Starts a call of Generate."""

    def __call__(self, request: pb.GenerateRequest, *, timeout: float | None) -> Call: ...


class Generation:
    """Iterate over it once, with `async for`, or await its `result`. Leaving the loop early cancels the generation.

    `async with` around the loop cancels it at once, where otherwise the interpreter does when it drops the iterator.
    Iterating raises the errors of service/failures.py.
    """

    def __init__(self, method: Method, request: pb.GenerateRequest, attempts: Attempts) -> None:
        """Nothing is sent before the first iteration; the time of `attempts` runs from now."""
        self._method = method
        self._attempts = attempts
        self._progress = Progress(request)
        # Weak, or the iterator of a loop that was left would live as long as this does.
        self._iterator: weakref.ref[AsyncGenerator[Delta, None]] | None = None

    @property
    def started(self) -> Started | None:
        """What the server told first, once it has."""
        return self._progress.started

    @property
    def prompt_logprobs(self) -> tuple[TokenLogprob, ...]:
        """One for every prompt token but the first, if they were asked for, from the first token on."""
        return tuple(self._progress.prompt_logprobs)

    @property
    def finished(self) -> tuple[Finished, ...]:
        """The samples that have finished, in order."""
        return tuple(sample.finished for sample in self._progress.samples.values() if sample.finished is not None)

    def __aiter__(self) -> AsyncIterator[Delta]:
        assert self._iterator is None, "a generation is iterated once"
        iterator = self._deltas()
        self._iterator = weakref.ref(iterator)
        return iterator

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._iterator is not None and (iterator := self._iterator()) is not None:
            await iterator.aclose()

    async def result(self) -> Result:
        """Return all samples, once they have finished."""
        deltas = [delta async for delta in self]
        assert self.started is not None, "a generation that is done has started"
        samples = []
        for finished in self.finished:
            own = [delta for delta in deltas if delta.sample == finished.sample]
            samples.append(
                Sample(
                    text="".join(delta.text for delta in own),
                    token_ids=tuple(token_id for delta in own for token_id in delta.token_ids),
                    logprobs=tuple(logprob for delta in own for logprob in delta.logprobs),
                    finished=finished,
                )
            )
        return Result(self.started, tuple(samples), self.prompt_logprobs)

    async def _deltas(self) -> AsyncGenerator[Delta, None]:
        while not self._progress.done:
            try:
                async with aclosing(self._responses(self._progress.remaining())) as responses:
                    async for response in responses:
                        if (delta := self._progress.take(response)) is not None:
                            self._attempts.progress()
                            yield delta
            except grpc.aio.AioRpcError as error:
                await self._attempts.fail(failure(error))
            else:
                if not self._progress.done:
                    raise Internal("the stream ended before its samples")

    async def _responses(self, requests: Sequence[pb.GenerateRequest]) -> AsyncGenerator[pb.GenerateResponse, None]:
        timeout = self._attempts.remaining()
        calls = [self._method(request, timeout=timeout) for request in requests]
        try:
            async with aclosing(_each(calls[0]) if len(calls) == 1 else _merged(calls)) as responses:
                async for response in responses:
                    yield response
        finally:
            # A call that is merely forgotten goes on.
            for call in calls:
                call.cancel()


async def _each(call: Call) -> AsyncGenerator[pb.GenerateResponse, None]:
    async for response in call:
        yield response


async def _merged(calls: Sequence[Call]) -> AsyncGenerator[pb.GenerateResponse, None]:
    """Yield the responses of all calls as they come."""
    reads = {asyncio.ensure_future(call.read()): call for call in calls}
    try:
        while reads:
            done, _ = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
            for read in done:
                call = reads.pop(read)
                if isinstance(response := read.result(), pb.GenerateResponse):  # or the end of the call
                    reads[asyncio.ensure_future(call.read())] = call
                    yield response
    finally:
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)
