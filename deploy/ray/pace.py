"""How fast a replica sends: Serve takes whatever comes, and keeps what its proxy cannot pass on.

A stream that waits for its turn finds more tokens at once and sends fewer, larger messages.
"""

from __future__ import annotations

import asyncio


class Pace:
    """Turns, so many a second. For one event loop."""

    def __init__(self, per_second: float) -> None:
        self._seconds = 1.0 / per_second
        self._next = 0.0

    async def turn(self) -> None:
        """Return when it is the caller's turn, in the order of the calls."""
        now = asyncio.get_running_loop().time()
        self._next = max(self._next + self._seconds, now)
        if self._next > now:
            await asyncio.sleep(self._next - now)
