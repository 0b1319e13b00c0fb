"""One request's stream: where its tokens wait until the receiver takes them. Lives on the event loop.

A receiver that is slow finds more in its next chunk; there is no queue object and no task per token. Knows nothing
about models, rows or text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.chunk import Chunk, Finish, ScoredToken, Timings
from service.errors import EngineError
from service.request import GenerationRequest

if TYPE_CHECKING:
    from service.drafting import Offer
    from service.inbox import Inbox
    from service.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The receiver of `stream` wants no more of `sample`, or of any sample if that is None."""

    stream: Stream
    sample: int | None = None


class Stream:
    """The samples of one request, as they are drawn. For one receiving task on the event loop."""

    def __init__(
        self, request: GenerationRequest, inbox: Inbox[Sequence | Cancellation | Offer], clock: Callable[[], float]
    ) -> None:
        self.request = request
        samples = range(request.first_sample, request.first_sample + request.samples)
        self.outlets = tuple(Outlet(self, sample) for sample in samples)
        self._inbox = inbox
        self._clock = clock
        self._submitted = clock()
        self._began: tuple[float, float] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._failure: EngineError | None = None

    async def receive(self) -> list[Chunk]:
        """Return all that is new since the last call, at least one chunk, at most one for each sample.

        Raises:
            EngineFailed: a step of the model raised.
            EngineStopped: the engine was stopped before the stream was done.
        """
        assert not self.done, "nothing more comes"
        while not (chunks := [chunk for outlet in self.outlets if (chunk := outlet.take()) is not None]):
            if self._failure is not None:
                raise self._failure
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return chunks

    @property
    def done(self) -> bool:
        """Whether every sample has finished and been received, or been cancelled."""
        # Asked for every message, and all() over a generator takes four times as long.
        for outlet in self.outlets:  # noqa: SIM110
            if not outlet.closed:
                return False
        return True

    @property
    def awaited(self) -> bool:
        """Whether its receiver waits for more."""
        return self._waiter is not None

    @property
    def held(self) -> int:
        """How many tokens wait for the receiver; those that are told as alternatives count, too."""
        weight = 1 + self.request.top_logprobs if self.request.logprobs else 1
        return weight * sum(len(outlet.token_ids) for outlet in self.outlets)

    @property
    def waiting(self) -> bool:
        """Whether its prompt is still to be consumed."""
        return self._began is None and not self.done

    def cancel(self) -> None:
        """Give up everything not yet received, and free the rows within one step. Idempotent."""
        if not self.done:
            for outlet in self.outlets:
                outlet.close()
            self._inbox.put(Cancellation(self))

    def cancel_sample(self, sample: int) -> None:
        """Give up one sample, by its index (counted from `first_sample`), and free its row within one step."""
        outlet = self.outlets[sample - self.request.first_sample]
        if not outlet.closed:
            outlet.close()
            self._inbox.put(Cancellation(self, sample))

    def drafted(self, sample: int) -> tuple[int, int]:
        """How many tokens were proposed to a sample until now, and how many of them it took."""
        outlet = self.outlets[sample - self.request.first_sample]
        return outlet.drafted, outlet.accepted

    def timings(self) -> Timings:
        """Where the time went until now."""
        now = self._clock()
        if self._began is None:
            return Timings(now - self._submitted, 0.0, 0.0)
        started, first_token = self._began
        return Timings(started - self._submitted, first_token - started, now - first_token)

    def begin(self, started: float, first_token: float, prompt_scores: list[ScoredToken] | None) -> None:
        """Note that the prompt is consumed: when its first step began and when its last step ended."""
        self._began = (started, first_token)
        if prompt_scores is not None:
            self.outlets[0].prompt_scores = prompt_scores
            self.wake()

    def fail(self, failure: EngineError) -> None:
        """Let the receiver fail, once it has taken what there is."""
        self._failure = failure
        self.wake()

    def wake(self) -> None:
        """Wake the receiver, if it waits."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Outlet:
    """Where the tokens of one sample leave the engine.

    drafted, accepted: tokens proposed for the sample, and those of them that it took. The engine's thread counts.
    """

    __slots__ = (
        "accepted",
        "closed",
        "drafted",
        "finish",
        "position",
        "prompt_scores",
        "replayed",
        "sample",
        "scored",
        "stream",
        "token_ids",
    )

    def __init__(self, stream: Stream, sample: int) -> None:
        self.stream = stream
        self.sample = sample
        self.replayed = self.position = len(stream.request.resume)
        self.token_ids: list[int] = []
        self.scored: list[ScoredToken] = []
        self.prompt_scores: list[ScoredToken] | None = None
        self.finish: Finish | None = None
        self.closed = False
        self.drafted = self.accepted = 0

    def append(self, token: int, scored: ScoredToken | None = None) -> None:
        """Take the sample's next token; those that are only replayed go no further."""
        if self.closed:
            return
        if self.replayed:
            self.replayed -= 1
            return
        self.token_ids.append(token)
        if scored is not None:
            self.scored.append(scored)
        self.stream.wake()

    def end(self, finish: Finish) -> None:
        """Take the end of the sample."""
        self.finish = finish
        self.stream.wake()

    def close(self) -> None:
        """Give up what is here and what comes."""
        self.closed = True
        self.token_ids, self.scored, self.prompt_scores = [], [], None

    def take(self) -> Chunk | None:
        """Return what is new, if anything is."""
        if self.closed or not (self.token_ids or self.finish or self.prompt_scores is not None):
            return None
        logprobs = self.scored if self.stream.request.logprobs else None
        chunk = Chunk(self.sample, self.position, self.token_ids, logprobs, self.prompt_scores, self.finish)
        self.position += len(self.token_ids)
        self.token_ids, self.scored, self.prompt_scores = [], [], None
        self.closed = self.finish is not None
        return chunk
