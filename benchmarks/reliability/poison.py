"""NaN wherever a batch holds nothing of a running request: what reads it shows it in every number behind.

`python -m benchmarks.reliability.poison [--uncleared]` is the server, with all its flags, whose batches are poisoned
before every iteration; uncleared, it gives rows to requests as it finds them, to see that this is seen. Looks into what
is private to the batch, its rows and its scheduler.
"""

from __future__ import annotations

import sys
from math import prod

import numpy as np

from bundle.rows import Rows, StateBuffer
from service import engine
from service.batch import Batch
from service.delivery import Delivery

UNCLEARED = "--uncleared"
_BYTE = 0xFF  # all bits set: NaN in every float, -1 in every integer


def poison_batch(batch: Batch) -> None:
    """Poison what is free: rows without a request, caches behind what was consumed, and the side to be written next."""
    rows, slots, begun = batch._rows, batch._slots, batch._scheduler.prefilling
    used = slots.used
    consumed = (slots._prompt[:used] + slots.generated[:used] - 1).tolist()  # the last token is yet to be
    if begun is not None:
        consumed.append(begun.consumed)
    for row, filled in enumerate(consumed):
        _poison_tail(rows, row, filled)
    _poison_rows(rows, len(consumed), rows.capacity)
    _poison_stale(rows)


def _poison_rows(rows: Rows, first: int, end: int) -> None:
    for buffer in rows.buffers.values():
        for side in range(len(set(buffer.sides))):
            _fill(rows, buffer.address(side, first), (end - first) * buffer.row_bytes)


def _poison_tail(rows: Rows, row: int, filled: int) -> None:
    for buffer in rows.buffers.values():
        if buffer.spec.kind == "cache":
            stride, size = _entries(buffer)
            for place in range(buffer.address(rows.side, row), buffer.address(rows.side, row + 1), stride):
                _fill(rows, place + filled * size, stride - filled * size)


def _poison_stale(rows: Rows) -> None:
    """Poison the side that the next step over the first rows writes, where it differs from the current one."""
    for buffer in rows.buffers.values():
        if buffer.spec.kind == "recurrent":
            _fill(rows, buffer.address(1 - rows.side, 0), rows._fresh * buffer.row_bytes)


def _entries(buffer: StateBuffer) -> tuple[int, int]:
    """Return the bytes of one run of a cache's entries, and of one entry in it."""
    axis = buffer.spec.axis
    assert axis is not None, "a cache has one"
    stride = buffer.row_bytes // prod(buffer.spec.shape[:axis])
    return stride, stride // buffer.spec.shape[axis]


def _fill(rows: Rows, target: int, size: int) -> None:
    if size > 0:
        rows.memory.write(target, np.full(size, _BYTE, np.uint8))


class PoisonedBatch(Batch):
    """A batch that is poisoned before every iteration."""

    def iterate(self) -> Delivery:
        poison_batch(self)
        return super().iterate()


def _leave_as_found(rows: Rows, first: int, count: int) -> None:
    """Stand in for `Rows.reset`."""


if __name__ == "__main__":
    from service.__main__ import main

    if sys.argv[1:2] == [UNCLEARED]:
        sys.argv.pop(1)
        Rows.reset = _leave_as_found  # type: ignore[assignment]
    engine.Batch = PoisonedBatch  # type: ignore[attr-defined]
    sys.exit(main())
