"""How long a stream waits for its client: one that stops reading, or reads too slowly, is ended.

What gRPC holds for such a client is bounded by HTTP/2's windows; what waits here would grow with every token, and the
rows would be spent on nobody. Nothing is done for a message: a stream is looked at once a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.stream import Stream
from service.wire import refusals
from service.wire.limits import Bounds

_LOOK_SECONDS = 1.0
# A client that reads, but more slowly than the model draws, may fall behind by so many times the tokens of one that
# does not read at all: it may be the server that is slow just now.
_READING = 16


class Patience:
    """Looks at one stream. written: messages that were sent, counted by who sends them."""

    def __init__(self, stream: Stream, bounds: Bounds, scope: asyncio.Timeout) -> None:
        self.written = 0
        self.reason = ""
        self._seen = 0
        self._stream = stream
        self._bounds = bounds
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._looks = 0  # in a row at which nothing had been written
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)

    def end(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        now, held = self._loop.time(), self._stream.held
        self._looks += 1
        if self.written != self._seen or self._stream.awaited:
            self._seen, self._since, self._looks = self.written, now, 0
        # At the first such look it may have been the loop that had no time.
        stuck = now - self._since if self._looks > 1 else 0.0
        if stuck >= self._bounds.seconds:
            self.reason = f"the client has read nothing for {stuck:.0f} s; allowed: {self._bounds.seconds:g} s"
        elif held > (most := self._bounds.tokens * (1 if stuck else _READING)):
            self.reason = f"{held} tokens wait for the client, which does not keep up; allowed: {most}"
        if self.reason:
            self._scope.reschedule(now)
        else:
            self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)


@asynccontextmanager
async def patience(stream: Stream, bounds: Bounds) -> AsyncIterator[Patience]:
    """Run the body, which sends what `stream` has, as long as its client keeps up.

    Raises:
        Refusal: RESOURCE_EXHAUSTED.
    """
    scope = asyncio.timeout(None)
    looking = Patience(stream, bounds, scope)
    try:
        async with scope:
            yield looking
    except TimeoutError:
        if not looking.reason:
            raise
        raise refusals.slow_consumer(looking.reason, bounds.tokens, bounds.seconds) from None
    finally:
        looking.end()
