"""A runner whose sequences are known by hand: the next token is the last one plus one.

It remembers, row by row, every token that it consumed, and refuses calls that no step graph would take.
"""

from types import SimpleNamespace

import numpy as np

from bundle.arrays import StepOutput
from bundle.manifest import Calls
from service.candidates import largest


def last_plus_one(consumed, vocabulary_size):
    """Logits that prefer the last token plus one."""
    logits = np.zeros(vocabulary_size, np.float32)
    logits[(consumed[-1] + 1) % vocabulary_size] = 10
    return logits


def scrambled(consumed, vocabulary_size):
    """Logits that depend on everything consumed, so that any mix-up of rows shows."""
    mixed = np.array([*consumed, len(consumed)]) @ np.arange(1, len(consumed) + 2) ** 2
    return (np.sin(np.arange(1, vocabulary_size + 1) * float(mixed)) * 4).astype(np.float32)


class FakeRows:
    bytes_per_row = 8

    def __init__(self, capacity):
        self.capacity = capacity
        self.consumed = [None] * capacity  # None: never reset
        self.sources = [()] * capacity

    def reset(self, first, count):
        assert first >= 0 and first + count <= self.capacity
        for row in range(first, first + count):
            self.consumed[row], self.sources[row] = [], ()

    def copy(self, source, target, used):
        assert source != target
        assert used == len(self.consumed[source]), "all of the past is copied, and no more"
        self.consumed[target], self.sources[target] = list(self.consumed[source]), self.sources[source]


class FakeRunner:
    def __init__(self, logits=last_plus_one, *, vocabulary_size=50, chunk="batch", context_limit=None, source=False):
        self.manifest = SimpleNamespace(
            name="fake",
            version=1,
            vocabulary_size=vocabulary_size,
            top_k=min(8, vocabulary_size),
            context_limit=context_limit,
            has_start=source,
            calls=Calls(chunk=chunk),
        )
        self.logits = logits
        self.rows = None
        self.calls = []  # (first, shape, how much the rows had consumed)
        self.broken = False

    def allocate(self, capacity):
        self.rows = FakeRows(capacity)
        return self.rows

    def start(self, rows, row, source):
        assert rows.consumed[row] == [], "reset comes first"
        rows.sources[row] = tuple(source.tolist())

    def step(self, rows, first, tokens, lengths, indices=None):
        if self.broken:
            raise RuntimeError("broken on purpose")
        (count, time), vocabulary_size = tokens.shape, self.manifest.vocabulary_size
        pasts = [len(rows.consumed[row]) for row in range(first, first + count)]
        self.calls.append((first, tokens.shape, tuple(pasts)))
        self._refuse_impossible(tokens, lengths, pasts)
        indices = np.arange(count) * time + lengths - 1 if indices is None else indices
        wanted = dict.fromkeys(indices.tolist())
        for row in range(count):
            consumed = rows.consumed[first + row]
            for place in range(lengths[row]):
                consumed.append(int(tokens[row, place]))
                if row * time + place in wanted:
                    wanted[row * time + place] = self.logits([*rows.sources[first + row], *consumed], vocabulary_size)
        logits = np.stack([wanted[index] for index in indices.tolist()])
        return StepOutput(logits, *largest(logits, self.manifest.top_k))

    def _refuse_impossible(self, tokens, lengths, pasts):
        count, time = tokens.shape
        assert count > 0
        assert (lengths >= 1).all()
        assert lengths.max() == time
        assert tokens.min() >= 0
        assert tokens.max() < self.manifest.vocabulary_size
        if self.manifest.calls.chunk == "single" and time > 1 and any(pasts):
            assert count == 1, "behind a past, a piece of a prompt is alone"
        limit = self.manifest.context_limit
        assert limit is None or max(pasts) + time <= limit or count > 1
