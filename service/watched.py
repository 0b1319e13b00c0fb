"""A value that is read from files, and read again once they have changed.

By looking, at most once a second and when somebody asks for the value: a mounted secret, a moved file and a network
drive are all the same to it. Knows nothing about what is in the files.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

LOOK_SECONDS = 1.0

_log = logging.getLogger("service.watched")
_Value = TypeVar("_Value")
_Stamp = tuple[tuple[int, int, int, int], ...]


class Watched(Generic[_Value]):
    """A value, as its files were when they could last be read. For any thread."""

    def __init__(self, paths: Sequence[Path], read: Callable[[], _Value]) -> None:
        """`read` makes the value of what is in `paths`; what it raises at first is raised here.

        Later, a ValueError or OSError leaves the value as it was and is logged once.
        """
        self._paths = tuple(paths)
        self._read = read
        self._lock = threading.Lock()
        self._complaint = ""
        self._stamp = self._look()
        self._value = read()
        self._next = time.monotonic() + LOOK_SECONDS

    def current(self) -> _Value:
        """Return the value, at most a second old."""
        if time.monotonic() >= self._next and self._lock.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._next = time.monotonic() + LOOK_SECONDS
                self._lock.release()
        return self._value

    def _refresh(self) -> None:
        try:
            # Before the files are read: if they change meanwhile, they are read again.
            if (stamp := self._look()) == self._stamp:
                return
            self._value, self._stamp = self._read(), stamp
        except (ValueError, OSError) as error:
            if str(error) != self._complaint:
                _log.error("what was read before is used on: %s", error)
            self._complaint = str(error)
        else:
            self._complaint = ""
            _log.info("read again: %s", ", ".join(map(str, self._paths)))

    def _look(self) -> _Stamp:
        found = [path.stat() for path in self._paths]
        return tuple((stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino) for stat in found)
