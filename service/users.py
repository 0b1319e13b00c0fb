"""Who uses something that is to be freed once nobody does. Lives on the event loop."""

from __future__ import annotations

import asyncio


class Users:
    """A count of users, and a way to wait until there is none."""

    def __init__(self) -> None:
        self.count = 0
        self._none = asyncio.Event()
        self._none.set()

    def enter(self) -> None:
        """Count one more."""
        self.count += 1
        self._none.clear()

    def leave(self) -> None:
        """Count one less."""
        self.count -= 1
        if not self.count:
            self._none.set()

    async def gone(self) -> None:
        """Return once there is none."""
        await self._none.wait()
