"""What changes logits before anything is drawn: bias, bans, penalties and the least number of tokens.

The tables are as wide as the vocabulary, so they exist only once a row needs one. Knows nothing about filters or random
numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.ids import IdTable
from service.request import GenerationRequest, SamplingParameters

Rows = NDArray[np.int64]


def changes_logits(request: GenerationRequest) -> bool:
    """Return whether the logits of this request's rows are not taken as they are."""
    sampling = request.sampling
    return bool(
        sampling.logit_bias
        or sampling.banned
        or _is_tracked(sampling)
        or (request.stop.min_new_tokens > 0 and stop_ids(request))
    )


def stop_ids(request: GenerationRequest) -> tuple[int, ...]:
    """Return the tokens that end a sample: first that of the end of the sequence, if it is to, then stop tokens."""
    end = request.stop.end_of_sequence
    return (*(() if end is None else (end,)), *request.stop.stop_tokens)


class Penalties:
    """Changes to the logits of rows, by row.

    bias: [capacity, V], minus infinity where banned.    seen: bool [capacity, V], in the prompt or the sample.
    counts: [capacity, V], occurrences in the sample.
    """

    def __init__(self, capacity: int, vocabulary_size: int, stops: IdTable) -> None:
        self._shape = (capacity, vocabulary_size)
        self._stops = stops
        self.tracked = np.zeros(capacity, np.bool_)
        self._repetition = np.ones(capacity, np.float32)
        self._presence = np.zeros(capacity, np.float32)
        self._frequency = np.zeros(capacity, np.float32)
        self._minimum = np.zeros(capacity, np.int64)
        self._bias: NDArray[np.float32] | None = None
        self._seen: NDArray[np.bool_] | None = None
        self._counts: NDArray[np.float32] | None = None

    def install(self, row: int, request: GenerationRequest) -> None:
        """Make the changes of `request`, at the start of its sample, those of `row`."""
        sampling = request.sampling
        self.tracked[row] = _is_tracked(sampling)
        self._repetition[row] = sampling.repetition_penalty
        self._presence[row] = sampling.presence_penalty
        self._frequency[row] = sampling.frequency_penalty
        self._minimum[row] = request.stop.min_new_tokens
        if self._bias is None and (sampling.logit_bias or sampling.banned):
            self._bias = np.zeros(self._shape, np.float32)
        if self._bias is not None:
            self._bias[row] = 0
            for token, value in sampling.logit_bias:
                self._bias[row, token] = value
            self._bias[row, list(sampling.banned)] = -np.inf
        if self.tracked[row]:
            seen, counts = self._tracking()
            seen[row], counts[row] = False, 0
            seen[row, list(request.prompt)] = True

    def move(self, source: int, target: int) -> None:
        """Copy a row."""
        columns = (self.tracked, self._repetition, self._presence, self._frequency, self._minimum)
        tables = (self._bias, *(self._tracking() if self.tracked[source] else ()))
        for array in (*columns, *tables):
            if array is not None:
                array[target] = array[source]

    def apply(self, logits: NDArray[np.float32], rows: Rows, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the logits [n, V] of `rows` [n] as changed for the tokens at `positions` [n] of their samples.

        Bias first; then the repetition penalty (Keskar et al. 2019), presence and frequency; then what is forbidden.
        """
        logits = logits + (np.float32(0) if self._bias is None else self._bias[rows])
        if self.tracked[rows].any():
            seen, counts = self._tracking()
            factor = np.where(self.tracked[rows], self._repetition[rows], 1)[:, None]
            penalised = np.where(logits > 0, logits / factor, logits * factor)
            logits = np.where(seen[rows], penalised, logits)
            times = counts[rows] * self.tracked[rows, None]
            logits -= self._frequency[rows, None] * times + self._presence[rows, None] * (times > 0)
        if (early := np.flatnonzero(positions < self._minimum[rows])).size:
            stops = self._stops.ids[rows[early]]
            places, columns = np.nonzero(stops >= 0)
            logits[early[places], stops[places, columns]] = -np.inf
        return logits

    def record(self, rows: Rows, tokens: NDArray[np.int64]) -> None:
        """Note the next tokens [n] of tracked `rows` [n]."""
        seen, counts = self._tracking()
        seen[rows, tokens] = True
        counts[rows, tokens] += 1

    def _tracking(self) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        if self._seen is None or self._counts is None:
            self._seen, self._counts = np.zeros(self._shape, np.bool_), np.zeros(self._shape, np.float32)
        return self._seen, self._counts


def _is_tracked(sampling: SamplingParameters) -> bool:
    return sampling.repetition_penalty != 1.0 or sampling.presence_penalty != 0.0 or sampling.frequency_penalty != 0.0
