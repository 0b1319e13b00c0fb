"""The way from the event loop to the engine's thread. Knows nothing about what is sent."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Message = TypeVar("Message")


class Inbox(Generic[Message]):
    """Messages from any thread to one, which sleeps while there are none."""

    def __init__(self) -> None:
        self.closed = False
        self._messages: deque[Message] = deque()
        self._news = threading.Event()

    def put(self, message: Message) -> None:
        """Add a message and wake the reader."""
        self._messages.append(message)
        self._news.set()

    def close(self) -> None:
        """Tell the reader that no more is to be done."""
        self.closed = True
        self._news.set()

    def take(self) -> Iterator[Message]:
        """Yield the messages that have come."""
        # Cleared before the messages are taken: one that comes later sets the event again, and `wait` returns at once.
        self._news.clear()
        while self._messages:
            yield self._messages.popleft()

    def wait(self) -> None:
        """Sleep until a message comes that `take` has not seen, or the inbox is closed."""
        if not self.closed:
            self._news.wait()
