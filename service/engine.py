"""The engine of one model: a thread that runs the batch, and the event loop's way to it and back.

The loop puts requests and cancellations into an inbox; after an iteration the thread wakes the loop once for all that
is new. The loop then rests as long as it worked, so that messages take at most half of its time: where they cost more
than the model, tokens of several steps go together. If a step raises, everything that runs or waits fails and nothing
runs any more. Knows token ids, no text and no gRPC.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from weakref import WeakSet

from bundle.runner import Runner
from service.batch import Batch
from service.delivery import Delivery
from service.drafting import Offer
from service.errors import EngineError, EngineFailed, EngineStopped, QueueFull, TooLate
from service.inbox import Inbox
from service.load import Load, Work
from service.metrics.measures import Measures
from service.pace import Pace
from service.penalties import stop_ids
from service.request import GenerationRequest
from service.sequence import Sequence
from service.stream import Cancellation, Stream

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """rows: samples that run at once.    queue_limit: requests that may wait for free rows.
    chunk_tokens: most prompt tokens consumed in one step, 3 or more.    max_itl_seconds: that running samples should
    have to wait for a token at most, so that fewer prompt tokens share a step with them; 0: no matter.
    tenant_rows: that samples of one tenant may have at once, or None.
    """

    rows: int = 32
    queue_limit: int = 256
    chunk_tokens: int = 256
    max_itl_seconds: float = 0.0
    tenant_rows: int | None = None


class Engine:
    """Runs requests on one model. Methods are for the event loop that called `start`; `load` and `work` for any thread.

    runner: of the model.    failed: set once a step has raised; `failure` is then what it raised.
    """

    def __init__(self, runner: Runner, settings: EngineSettings, clock: Callable[[], float] = time.monotonic) -> None:
        """Allocate the rows. `clock` gives the seconds in which requests' deadlines are."""
        self.runner = runner
        self._settings = settings
        self._manifest = runner.manifest
        self._clock = clock
        chunk, itl, most = settings.chunk_tokens, settings.max_itl_seconds, settings.tenant_rows
        self._batch = Batch(runner, settings.rows, chunk, clock, itl, most)
        self._inbox: Inbox[Sequence | Cancellation | Offer] = Inbox()
        self._pace = Pace()
        self._streams: WeakSet[Stream] = WeakSet()
        self._submitted = 0
        self._submitted_tokens = 0
        self._deliveries: deque[Delivery] = deque()
        self._awake = False  # whether the loop will look at deliveries without being told
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ended = asyncio.Event()
        self.failed = asyncio.Event()
        self.failure: Exception | None = None

    def let_draft(self, models: Mapping[str, Runner]) -> None:
        """Let these models, by "name@version", and no others, propose tokens to requests that name them.

        Each has the same vocabulary, and no source. Requests that name another one go on without it.
        """
        self._inbox.put(Offer(models))

    def start(self) -> None:
        """Start the thread."""
        self._loop = asyncio.get_running_loop()
        name = f"engine of {self._manifest.name}@{self._manifest.version}"
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name=name, daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """End the thread after the step that it is in. Streams that are not done fail with EngineStopped."""
        self._inbox.close()
        if self._thread is not None:
            await self._ended.wait()
            self._thread.join()

    def submit(self, request: GenerationRequest) -> Stream:
        """Let `request` run as soon as rows are free for all of its samples and it is its turn.

        Raises:
            QueueFull, EngineStopped: as `admit` does.
        """
        self._check_room()
        self._check(request)
        stream = Stream(request, self._inbox, self._clock)
        self._streams.add(stream)
        self._submitted += 1
        self._submitted_tokens += request.prompt_tokens
        self._inbox.put(Sequence(stream, self._clock()))
        return stream

    @property
    def most_samples(self) -> int:
        """The most that a request may have: they run at once."""
        rows, most = self._settings.rows, self._settings.tenant_rows
        return rows if most is None else min(rows, most)

    def admit(self, tenant: str, deadline: float | None) -> None:
        """Return if a request may come now: to be asked before work is put into one.

        Raises:
            QueueFull: as many requests wait as may.
            TooLate: its turn is not expected before its deadline.
            EngineStopped: the engine was stopped or has failed.
        """
        waiting, room = self._check_room()
        if deadline is not None and waiting > room and self._pace.known:
            now = self._clock()
            wait = self._pace.seconds_for(self._before(tenant, waiting - room), now)
            if wait > deadline - now:
                raise TooLate(self._pace.promise(waiting, now), wait, deadline - now)

    def load(self) -> Load:
        """How busy the engine is."""
        # Each of the counters has one thread that writes it. Those that left are read first: never more than have come.
        departed = self._batch.departed
        waiting, settings = self._submitted - departed, self._settings
        return Load(settings.rows, self._batch.running, waiting, settings.queue_limit, self._batch.bytes_per_row)

    def work(self) -> Work:
        """What the engine does, has before it and behind it."""
        batch = self._batch
        departed = batch.departed_tokens
        waiting = self._submitted_tokens - departed
        drawn, (drafted, accepted) = batch.generated_tokens, batch.drafted
        return Work(batch.running_requests, waiting, batch.prompt_tokens, drawn, drafted, accepted, batch.steps)

    @property
    def measures(self) -> Measures:
        """What its steps took."""
        return self._batch.measures

    def _check_room(self) -> tuple[int, int]:
        """Return how many requests wait, and how many rows are free. Raises QueueFull, EngineStopped."""
        if self._inbox.closed or self._thread is None:
            raise EngineStopped("the engine does not run")
        load, now = self.load(), self._clock()
        if not load.running and not load.waiting:
            self._pace.resume(now)
        room = max(0, load.rows - load.running)
        if load.waiting >= load.queue_limit + room:
            raise QueueFull(self._pace.promise(load.waiting, now), load.waiting, load.queue_limit)
        return load.waiting, room

    def _before(self, tenant: str, waiting: int) -> int:
        """Return how many of `waiting` requests have their turn before a new one of `tenant`, if tenants take turns."""
        tenants = Counter(stream.request.tenant for stream in self._streams if stream.waiting)
        return min(waiting, tenants[tenant] * len(tenants) + len(tenants))

    def _check(self, request: GenerationRequest) -> None:
        """Assert what the border has to have checked."""
        manifest, stop, sampling = self._manifest, request.stop, request.sampling
        assert 1 <= request.samples <= self.most_samples, "all samples of a request run at once"
        assert request.prompt, "a prompt has at least one token"
        assert manifest.context_limit is None or len(request.prompt) <= manifest.context_limit
        assert (request.source is not None) == manifest.has_start, "a source belongs to a start graph"
        assert not request.resume or request.samples == 1, "only a single sample is resumed"
        assert request.scored_from is None or request.scored_from >= 1, "nothing predicts the first token"
        assert request.drafts is None or manifest.rewinds, "a row forgets the tokens that were not drawn"
        never = {*sampling.banned, *(stop_ids(request) if stop.min_new_tokens else ())}
        assert len(never) < manifest.vocabulary_size, "some token has to be left"

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        failure = None
        try:
            while not self._inbox.closed:
                self._iterate(loop)
        except Exception as error:
            logger.exception("a step failed: the engine ends")
            failure = error
            self._inbox.close()
        with contextlib.suppress(RuntimeError):  # a closed loop has nobody left to tell
            loop.call_soon_threadsafe(self._end, failure)

    def _iterate(self, loop: asyncio.AbstractEventLoop) -> None:
        for message in self._inbox.take():
            if isinstance(message, Cancellation):
                self._batch.cancel(message)
            elif isinstance(message, Offer):
                self._batch.let_draft(message.runners)
            else:
                self._batch.add(message)
        if self._batch.idle:
            self._inbox.wait()
        elif delivery := self._batch.iterate():
            # Appended before the look at the flag, which the loop clears before its look at the deliveries.
            self._deliveries.append(delivery)
            if not self._awake:
                self._awake = True
                loop.call_soon_threadsafe(self._deliver, loop)

    def _deliver(self, loop: asyncio.AbstractEventLoop) -> None:
        began = loop.time()
        self._hand_out()
        # Behind the receivers that have just been woken.
        loop.call_soon(self._rest, loop, began)

    def _rest(self, loop: asyncio.AbstractEventLoop, began: float) -> None:
        now = loop.time()
        loop.call_at(now + (now - began), self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._awake = False
        if self._deliveries:
            self._awake = True
            self._deliver(loop)

    def _hand_out(self) -> None:
        now = self._clock()
        while self._deliveries:
            delivery = self._deliveries.popleft()
            for _ in delivery.finishes:
                self._pace.record(now)
            delivery.hand_out()

    def _end(self, failure: Exception | None) -> None:
        self._hand_out()
        for stream in self._streams:
            error: EngineError = EngineStopped("the engine was stopped")
            if failure is not None:
                error = EngineFailed(stream.request.request_id)
                error.__cause__ = failure
            stream.fail(error)
        self.failure = failure
        self._ended.set()
        if failure is not None:
            self.failed.set()
