"""Looking into models while others run: what is read, which views are shown of it, and how many look at once.

A look runs on a thread of its own, beside the engine, and takes no row. Knows nothing about gRPC.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle.inspector import Inspector
from bundle.manifest import ViewSpec

Floats = NDArray[np.float32]

# Of `read`, and of a source: attention grows with the square, for every head of every layer.
MOST_TOKENS = 512
# In one response: 3 MiB, within the 4 MiB that a client of gRPC takes.
MOST_VALUES = 786_432
# That wait for the one that looks.
MOST_WAITING = 8


class InspectionBusy(ValueError):  # noqa: N818 (no fault of the server's)
    """So many look already that one more would wait too long."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a look reads. source: the encoder's, or None.    read: the decoder's.    written: behind each of `read`."""

    source: tuple[int, ...] | None
    read: tuple[int, ...]
    written: tuple[int, ...]

    @classmethod
    def of(cls, source: tuple[int, ...] | None, prompt: tuple[int, ...], continuation: tuple[int, ...]) -> Reading:
        """Return what is read of a prompt and its continuation; with a source the prompt is what opens the target."""
        if source is None:
            return cls(None, prompt + continuation, (prompt + continuation)[1:])
        return cls(source, (prompt + continuation)[: len(prompt) + len(continuation) - 1], continuation)

    def times(self, part: str) -> int:
        """How many tokens a part of the model reads."""
        return len(self.source or ()) if part == "encoder" else len(self.read)

    def shape(self, view: ViewSpec) -> tuple[int, int]:
        """Return rows and columns of an attention of one head."""
        rows = self.times(view.part)
        return rows, rows if view.kind != "cross" else len(self.source or ())


class Inspections:
    """Looks one after the other, whatever the models."""

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._most = 1 + most_waiting
        self._asked = 0
        self._one = asyncio.Lock()

    async def look(self, inspector: Inspector, reading: Reading, views: Sequence[ViewSpec]) -> list[Floats]:
        """Return the views of a reading, in order: attention [heads, rows, columns], all else [times, units].

        Raises:
            InspectionBusy: there is no place among those who wait.
            BundleError: the graph does not load or run.
        """
        if self._asked >= self._most:
            raise InspectionBusy(f"{self._asked} inspections run or wait; allowed: {self._most}")
        self._asked += 1
        work = asyncio.create_task(self._look(inspector, reading, [view.output for view in views]))
        # A caller that goes away leaves its look running, and its place taken, until the thread is done.
        work.add_done_callback(self._left)
        return await asyncio.shield(work)

    async def _look(self, inspector: Inspector, reading: Reading, outputs: Sequence[str]) -> list[Floats]:
        async with self._one:
            source = None if reading.source is None else np.array(reading.source, np.int64)
            found = await asyncio.to_thread(inspector.look, np.array(reading.read, np.int64), source, outputs)
            return list(found.values())

    def _left(self, work: asyncio.Task[list[Floats]]) -> None:
        self._asked -= 1
        if not work.cancelled():
            work.exception()  # told by whoever waits, and by nobody where the caller is gone


def evenly(total: int, most: int) -> NDArray[np.int64]:
    """Return at most so many of the units [0, total), evenly spaced from the first to the last, ascending."""
    if most >= total:
        return np.arange(total)
    return np.linspace(0, total - 1, most).round().astype(np.int64)
