"""What changes logits before anything is drawn: bias, bans, penalties and the least number of tokens.

Knows nothing about filters or random numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.history import History, TokenTable
from service.ids import IdTable
from service.request import GenerationRequest, SamplingParameters

Ids = NDArray[np.int64]


def changes_logits(request: GenerationRequest) -> bool:
    """Return whether the logits of this request's rows are not taken as they are."""
    sampling = request.sampling
    waits = request.stop.min_new_tokens > 0 and stop_ids(request)
    return bool(sampling.logit_bias or sampling.banned or _is_tracked(sampling) or waits)


def stop_ids(request: GenerationRequest) -> tuple[int, ...]:
    """Return the tokens that end a sample: first that of the end of the sequence, if it is to, then stop tokens."""
    end = request.stop.end_of_sequence
    return (*(() if end is None else (end,)), *request.stop.stop_tokens)


class Penalties:
    """Changes to the logits of rows, by row.

    tracked: bool [capacity], whether what a row has seen makes a difference to it.
    """

    def __init__(self, capacity: int, vocabulary_size: int, stops: IdTable) -> None:
        self._shape = (capacity, vocabulary_size)
        self._stops = stops
        self.tracked = np.zeros(capacity, np.bool_)
        self._repetition = np.ones(capacity, np.float32)
        self._presence = np.zeros(capacity, np.float32)
        self._frequency = np.zeros(capacity, np.float32)
        self._minimum = np.zeros(capacity, np.int64)
        self._bias = TokenTable(capacity, vocabulary_size)
        self._columns = (self.tracked, self._repetition, self._presence, self._frequency, self._minimum)
        self._history: History | None = None  # as wide as the vocabulary, so only if it is needed

    def install(self, row: int, request: GenerationRequest) -> None:
        """Make the changes of `request`, at the start of its sample, those of `row`."""
        sampling = request.sampling
        self.tracked[row] = _is_tracked(sampling)
        self._repetition[row] = sampling.repetition_penalty
        self._presence[row] = sampling.presence_penalty
        self._frequency[row] = sampling.frequency_penalty
        self._minimum[row] = request.stop.min_new_tokens
        bias = {**dict(sampling.logit_bias), **dict.fromkeys(sampling.banned, -np.inf)}
        self._bias.set(row, list(bias), list(bias.values()))
        if self.tracked[row]:
            if self._history is None:
                self._history = History(*self._shape)
            self._history.begin(row, request.prompt)

    def move(self, source: int, target: int) -> None:
        """Copy a row."""
        for column in self._columns:
            column[target] = column[source]
        self._bias.move(source, target)
        if self._history is not None and self.tracked[source]:
            self._history.move(source, target)

    def apply(self, logits: NDArray[np.float32], rows: Ids, positions: Ids) -> NDArray[np.float32]:
        """Return the logits [n, V] of `rows` [n] as changed for the tokens at `positions` [n] of their samples.

        Bias first; then the repetition penalty (Keskar et al. 2019), presence and frequency; then what is forbidden.
        """
        count, size = logits.shape
        changed = np.empty((count, size + 1), np.float32)  # padding of lists falls into the last column
        changed[:, :size], changed[:, size] = logits, 0
        ids, bias = self._bias.of(rows)
        np.put_along_axis(changed, ids, np.take_along_axis(changed, ids, axis=1) + bias, axis=1)
        tracked = np.flatnonzero(self.tracked[rows])
        if self._history is not None and tracked.size:
            ids, times = self._history.of(rows[tracked])
            values = self._penalised(changed[tracked[:, None], ids], rows[tracked], times)
            changed[tracked[:, None], ids] = values
        if (early := np.flatnonzero(positions < self._minimum[rows])).size:
            stops = self._stops.ids[rows[early]]
            changed[early[:, None], np.where(stops < 0, size, stops)] = -np.inf
        return changed[:, :size]

    def record(self, rows: Ids, tokens: Ids) -> None:
        """Note the next tokens [n] of tracked `rows` [n]."""
        assert self._history is not None, "made with the first tracked row"
        self._history.record(rows, tokens)

    def _penalised(self, logits: NDArray[np.float32], rows: Ids, times: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits [n, seen] of tokens that `rows` have seen, and generated that many times."""
        factor = self._repetition[rows, None]
        with np.errstate(over="ignore"):  # a factor may be so small that a logit becomes infinite
            logits = np.where(logits > 0, logits / factor, logits * factor)
        return logits - (self._frequency[rows, None] * times + self._presence[rows, None] * (times > 0))


def _is_tracked(sampling: SamplingParameters) -> bool:
    return sampling.repetition_penalty != 1.0 or sampling.presence_penalty != 0.0 or sampling.frequency_penalty != 0.0
