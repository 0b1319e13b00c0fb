"""When a client tries again, and for how long. Knows nothing about gRPC."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from service.failures import ClientError, DeadlineExceeded, Overloaded, Unavailable


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again when the server is unavailable, and, if `overloaded`, when it has too much to do.

    attempts: how many fail one after another, without a token in between, before the caller is told.
    first_seconds, longest_seconds: of the pauses between them, each about twice as long as the one before, and never
    shorter than the server asks for. By default all together are 26 to 51 seconds: time for servers to start again.
    """

    attempts: int = 30
    first_seconds: float = 0.1
    longest_seconds: float = 2.0
    overloaded: bool = False

    def pause(self, error: ClientError, attempts: int) -> float | None:
        """Return the seconds after which to try again when so many attempts have failed, or None: give up."""
        again = isinstance(error, Unavailable) or (self.overloaded and isinstance(error, Overloaded))
        if not again or attempts >= self.attempts:
            return None
        seconds = min(self.first_seconds * 2.0 ** (attempts - 1), self.longest_seconds)
        # Clients that lost the same server at the same moment shall not come back at the same moment.
        return max(seconds * random.uniform(0.5, 1.0), error.retry_after or 0.0)


class Attempts:
    """The attempts of one call, within its timeout."""

    def __init__(self, retry: Retry, timeout: float | None) -> None:
        """`timeout`: seconds from now for all attempts together, or None."""
        self._retry = retry
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._failed = 0

    def remaining(self) -> float | None:
        """Return the seconds that are left for the next attempt, or None: any."""
        return None if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)

    def progress(self) -> None:
        """Note that the present attempt has brought something."""
        self._failed = 0

    async def fail(self, error: ClientError) -> None:
        """Note that the present attempt failed and return when it is time for the next.

        Raises:
            ClientError: `error`, if there is to be no other; DeadlineExceeded, if there is no time for it.
        """
        self._failed += 1
        pause = self._retry.pause(error, self._failed)
        if pause is None:
            raise error
        if (remaining := self.remaining()) is not None and remaining <= pause:
            raise DeadlineExceeded(f"no time is left to try again after: {error}", error.request_id)
        await asyncio.sleep(pause)
