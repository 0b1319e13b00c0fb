"""Rows: the state of all running sequences of one model, each state one buffer with the batch as its first axis.

A row is an index into every buffer. The running rows are a prefix [0, n) of the buffers, so that a step binds memory
where it lies and copies nothing. Knows the declared states and nothing about ONNX Runtime or requests.

Recurrent states are double-buffered: a step reads one side and writes the other. Only the rows of the last prefix step
may differ between the sides ("fresh" rows, valid on the current side alone); every other row is the same on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from bundle.manifest import StateSpec
from bundle.memory import Memory


@dataclass(frozen=True, slots=True)
class StateBuffer:
    """One state of all rows: where its two sides lie (the same place twice unless recurrent), and a row's size."""

    spec: StateSpec
    sides: tuple[int, int]
    row_bytes: int

    def address(self, side: int, row: int) -> int:
        return self.sides[side] + row * self.row_bytes


class Rows:
    """State buffers of `capacity` rows. One owner at a time: not safe for concurrent use."""

    def __init__(self, specs: Sequence[StateSpec], capacity: int, memory: Memory) -> None:
        self.capacity = capacity
        self.memory = memory
        self.buffers = {spec.name: _allocate(spec, capacity, memory) for spec in specs}
        self.side = 0
        self._recurrent = [buffer for buffer in self.buffers.values() if buffer.spec.kind == "recurrent"]
        self._fresh = 0

    @property
    def bytes_per_row(self) -> int:
        """Bytes of state that one row holds when its caches are full."""
        return sum(len(set(buffer.sides)) * buffer.row_bytes for buffer in self.buffers.values())

    def reset(self, first: int, count: int) -> None:
        """Zero the state of rows [first, first + count). Cache entries are never read before they are written."""
        for buffer in self.buffers.values():
            if buffer.spec.kind != "cache":
                for side in set(buffer.sides):
                    self.memory.clear(side + first * buffer.row_bytes, count * buffer.row_bytes)

    def copy(self, source: int, target: int, used: int) -> None:
        """Copy the state of row `source` to row `target`; of caches only the first `used` entries are needed."""
        for buffer in self.buffers.values():
            place = buffer.address(self.side, source)
            if buffer.spec.kind == "cache" and not self.memory.contiguous_only:
                self._copy_entries(buffer, place, buffer.address(self.side, target), used)
            else:
                for side in range(len(set(buffer.sides))):
                    self.memory.copy(buffer.address(side, target), place, buffer.row_bytes)

    def rewind(self, row: int, count: int) -> None:
        """Let `row` forget its last `count` tokens. Only for states of which `Manifest.rewinds` holds.

        Cache entries behind a counter are written before they are read again: they stay as they are.
        """
        for buffer in self._recurrent:
            assert buffer.spec.counter, "other recurrent states cannot be turned back"
            content = (self.read(buffer.spec.name, row, 1) - count).view(np.uint8)
            for side in range(2):
                self.memory.write(buffer.address(side, row), content)

    def read_filled(self, name: str, row: int, used: int) -> NDArray[np.generic]:
        """Return a copy of the first `used` entries, along its axis, of state `name` of `row`, on the host."""
        buffer = self.buffers[name]
        spec, axis = buffer.spec, buffer.spec.axis
        assert axis is not None, "only states with an axis are filled bit by bit"
        outer = prod(spec.shape[:axis])
        stride, size = buffer.row_bytes // outer, buffer.row_bytes // outer // spec.shape[axis] * used
        place = buffer.address(self.side, row)
        parts = [self.memory.read(place + index * stride, size) for index in range(outer)]
        return np.concatenate(parts).view(spec.dtype).reshape(*spec.shape[:axis], used, *spec.shape[axis + 1 :])

    def read(self, name: str, first: int, count: int) -> NDArray[np.generic]:
        """Return a copy of state `name` of rows [first, first + count), on the host."""
        buffer = self.buffers[name]
        content = self.memory.read(buffer.address(self.side, first), count * buffer.row_bytes)
        return content.view(buffer.spec.dtype).reshape(count, *buffer.spec.shape)

    def commit(self, first: int, count: int) -> None:
        """Make what a step over rows [first, first + count) wrote their current state."""
        if first == 0:
            self._settle(count, self._fresh, self.side)
            self.side, self._fresh = 1 - self.side, count
        else:
            self._settle(first, first + count, 1 - self.side)

    def settle(self, first: int, count: int) -> None:
        """Make what was written to the current side of these rows valid on both (after a start graph)."""
        self._settle(first, first + count, self.side)

    def _settle(self, first: int, end: int, side: int) -> None:
        """Copy recurrent states of rows [first, end) from `side` to the other."""
        if first < end:
            for buffer in self._recurrent:
                size = (end - first) * buffer.row_bytes
                self.memory.copy(buffer.address(1 - side, first), buffer.address(side, first), size)

    def _copy_entries(self, buffer: StateBuffer, source: int, target: int, used: int) -> None:
        """Copy the first `used` entries of a cache: one run of memory for every index before the growing axis."""
        axis = buffer.spec.axis
        assert axis is not None, "the manifest requires the axis of a cache"
        outer, capacity = prod(buffer.spec.shape[:axis]), buffer.spec.shape[axis]
        stride = buffer.row_bytes // outer
        for index in range(outer):
            self.memory.copy(target + index * stride, source + index * stride, stride // capacity * used)


def _allocate(spec: StateSpec, capacity: int, memory: Memory) -> StateBuffer:
    row_bytes = prod(spec.shape) * np.dtype(spec.dtype).itemsize
    first = memory.allocate(capacity * row_bytes, whole=spec.kind == "static")
    second = memory.allocate(capacity * row_bytes) if spec.kind == "recurrent" else first
    return StateBuffer(spec, (first, second), row_bytes)
