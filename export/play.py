"""Playing sequences through a bundle as the server does: rows of one buffer, composed into the calls it declares.

The parity gate measures what the server runs, so this goes through the same runner and obeys the same rules: first
prompts together and padded, pieces behind a past together or alone, one token for every running row. What is padding
is garbage on purpose. Knows nothing about PyTorch or about what a right answer is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from bundle.arrays import StepOutput
from bundle.device import DeviceError, open_session
from bundle.folder import Bundle
from bundle.manifest import StateSpec
from bundle.memory import COPY_GRAPH
from bundle.runner import Runner
from export.extent import Array, Extent
from export.sequences import Ids, Sequences

Floats = NDArray[np.float32]


def open_runner(bundle: Bundle, threads: int) -> Runner:
    """Open `bundle` on the CPU, or on a GPU if only those run its precision. Raises BundleError, DeviceError."""
    # Waiting threads sleep: bits do not depend on it, and the machine may be busy with something else.
    return Runner(bundle, "auto" if bundle.manifest.precision == "fp16" else "cpu", threads=threads, spin=False)


def check_gpu() -> None:
    """Make sure that there is a GPU to verify on. Raises DeviceError."""
    try:
        open_session(str(COPY_GRAPH), onnxruntime.SessionOptions(), "cuda")
    except DeviceError as error:
        raise DeviceError(f"--precision fp16 is verified on a GPU: {error}") from None


class Player:
    """Rows of a runner, with how many tokens each has consumed."""

    def __init__(self, runner: Runner, capacity: int) -> None:
        self.manifest = runner.manifest
        self.rows = runner.allocate(capacity)
        self.used = np.zeros(capacity, np.int64)
        self._sources = np.zeros(capacity, np.int64)
        self._runner = runner
        self._random = np.random.default_rng(3)

    def begin(self, sequences: Sequences, first: int = 0) -> None:
        """Bring rows from `first` on to the initial state of `sequences`, each source encoded alone."""
        self.rows.reset(first, len(sequences))
        self.used[first : first + len(sequences)] = 0
        for row, source in enumerate(sequences.sources or (), start=first):
            self._runner.start(self.rows, row, source)
            self._sources[row] = len(source)

    def whole(self, sequences: Sequences, first: int = 0, padding: int = 0) -> list[Floats]:
        """Begin and feed `sequences` in one call; return each row's logits [length, V] at every position."""
        self.begin(sequences, first)
        return self._call(first, sequences.tokens, padding)

    def feed(self, pieces: Mapping[int, Ids]) -> dict[int, Floats]:
        """Feed the next tokens of some rows, in as many calls as it takes; return their logits at every position."""
        logits: dict[int, Floats] = {}
        for group in self._groups(pieces):
            made = self._call(group[0], [pieces[row] for row in group])
            logits.update(zip(group, made, strict=True))
        return logits

    def copy(self, source: int, target: int) -> None:
        """Copy the state of row `source` to row `target`."""
        self.rows.copy(source, target, int(self.used[source]))
        self.used[target], self._sources[target] = self.used[source], self._sources[source]

    def rewind(self, row: int, count: int) -> None:
        """Let `row` forget its last `count` tokens."""
        self.rows.rewind(row, count)
        self.used[row] -= count

    def last(self, tokens: Sequence[Ids]) -> StepOutput:
        """Feed rows from 0 on in one call, asking for the last position of each, as a server does."""
        grid, lengths = self._grid(tokens, 0)
        self.used[: len(tokens)] += lengths
        return self._runner.step(self.rows, 0, grid, lengths)

    def extent(self, row: int) -> Extent:
        """Return how far the state of `row` is filled."""
        return Extent(int(self.used[row]), int(self._sources[row]))

    def states(self, row: int, extent: Extent | None = None) -> dict[str, Array]:
        """Return a copy of the state of `row`, caches and sources up to `extent`, by default what is filled."""
        extent = extent or self.extent(row)
        return {spec.name: self._state(spec, row, extent) for spec in self.manifest.states}

    def _state(self, spec: StateSpec, row: int, extent: Extent) -> Array:
        if spec.axis is None:
            return np.asarray(self.rows.read(spec.name, row, 1)[0])
        return self.rows.read_filled(spec.name, row, extent.end(spec))

    def _groups(self, pieces: Mapping[int, Ids]) -> list[list[int]]:
        """Split rows into neighbours that may share a call."""
        groups: list[list[int]] = []
        for row in sorted(pieces):
            if groups and groups[-1][-1] == row - 1 and self._together(groups[-1][-1], row, pieces):
                groups[-1].append(row)
            else:
                groups.append([row])
        return groups

    def _together(self, left: int, right: int, pieces: Mapping[int, Ids]) -> bool:
        if self.manifest.calls.chunk == "batch":
            return True
        kinds = {("one" if len(pieces[row]) == 1 else "first" if self.used[row] == 0 else row) for row in (left, right)}
        return len(kinds) == 1

    def _call(self, first: int, tokens: Sequence[Ids], padding: int = 0) -> list[Floats]:
        grid, lengths = self._grid(tokens, padding)
        places = [np.arange(length) + row * grid.shape[1] for row, length in enumerate(lengths)]
        output = self._runner.step(self.rows, first, grid, lengths, np.concatenate(places))
        self.used[first : first + len(tokens)] += lengths
        return [logits.copy() for logits in np.split(output.logits, np.cumsum(lengths)[:-1])]

    def _grid(self, tokens: Sequence[Ids], padding: int) -> tuple[Ids, Ids]:
        """Return rows as one grid [B, T], garbage behind the real tokens, and their lengths [B]."""
        lengths = np.array([len(row) for row in tokens], np.int64)
        width = int(lengths.max()) + padding
        width += not self.manifest.calls.allow(width)
        grid = self._random.integers(0, self.manifest.vocabulary_size, (len(tokens), width))
        for row, ids in enumerate(tokens):
            grid[row, : len(ids)] = ids
        return grid, lengths
