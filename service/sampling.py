"""The next token of every row at once, each as if it were alone.

Rows are grouped by how their token is found; groups are made when rows change, not for every token. Wherever the few
largest logits that the graph gives settle the outcome, they are all that is looked at. Which way a row goes depends on
its own parameters and logits, never on the rows beside it. Knows nothing about requests' streams or states.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle.arrays import StepOutput
from service.candidates import largest
from service.filters import Column, Filters, cumulative_sums, draw
from service.ids import IdTable
from service.penalties import Penalties, changes_logits
from service.philox import Numbers
from service.request import GenerationRequest, SamplingParameters
from service.scores import take

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Logits = NDArray[np.float32]


class Way(enum.IntEnum):
    """How a row's token is found.

    GREEDY: the largest logit, the lowest id where several are.    PLAIN: among all, in the order of ids.
    TOP: among the `width` largest, which hold the top_k.
    NUCLEUS: among the `width` largest, or, until they hold the probability top_p, more and more.
    """

    GREEDY = 0
    PLAIN = 1
    TOP = 2
    NUCLEUS = 3


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows whose tokens are found the same way. picks: their places among the rows asked for; all if None."""

    way: Way
    changed: bool
    width: int
    rows: Ids
    picks: Ids | None
    scale: Column
    filters: Filters


@dataclass(frozen=True, slots=True)
class _Groups:
    groups: list[_Group]
    numbers: Numbers | None  # if any row draws
    tracked: Ids  # rows whose tokens penalties keep account of


class Sampler:
    """Sampling parameters by row, and the tokens that follow from them and a step's output.

    Random numbers are keyed by (seed, sample, position): one for each token that is drawn.
    """

    def __init__(self, capacity: int, vocabulary_size: int, top_k: int, stops: IdTable) -> None:
        """`top_k` is the width of the graph's top_values; `stops` the tokens that end each row."""
        self._given = top_k
        self._vocabulary_size = vocabulary_size
        self._width = np.zeros(capacity, np.int64)
        self._way = np.zeros(capacity, np.int8)
        self._changed = np.zeros(capacity, np.bool_)
        self._scale = np.ones(capacity, np.float32)
        self._filters = np.zeros((4, capacity), np.float64)
        self._seed = np.zeros(capacity, np.uint64)
        self._sample = np.zeros(capacity, np.uint64)
        self._columns = (self._way, self._width, self._changed, self._scale, self._seed, self._sample)
        self._penalties = Penalties(capacity, vocabulary_size, stops)
        self._nothing = np.zeros(capacity)
        self._made: dict[tuple[int, int], _Groups] = {}

    def install(self, row: int, request: GenerationRequest, sample: int) -> None:
        """Make `row` the start of sample number `sample` of `request`."""
        sampling = request.sampling
        self._way[row], self._width[row] = self._choose_way(sampling)
        self._changed[row] = changes_logits(request)
        # Capped, so that a logit's distance from the largest, times this, stays finite.
        self._scale[row] = min(1 / sampling.temperature, 1e25) if sampling.temperature > 0 else 1
        self._filters[:, row] = (
            sampling.top_k or self._vocabulary_size,
            sampling.top_p if sampling.top_p < 1 else np.inf,
            sampling.min_p,
            sampling.typical_p if sampling.typical_p < 1 else np.inf,
        )
        self._seed[row], self._sample[row] = request.seed, sample
        self._penalties.install(row, request)
        self._made.clear()

    def move(self, source: int, target: int) -> None:
        """Copy a row."""
        for column in self._columns:
            column[target] = column[source]
        self._filters[:, target] = self._filters[:, source]
        self._penalties.move(source, target)
        self._made.clear()

    def choose(self, output: StepOutput, first: int, positions: Ids) -> Ids:
        """Return the tokens [n] at `positions` [n] of rows [first, first + n), whose step gave `output`."""
        made = self._groups(first, first + len(positions))
        numbers = self._nothing[: len(positions)] if made.numbers is None else made.numbers.at(positions)
        if made.groups[0].picks is None:  # all are found the same way
            return self._find(made.groups[0], output, positions, numbers)
        tokens = np.empty(len(positions), np.int64)
        for group in made.groups:
            assert group.picks is not None, "of several groups each has some of the rows"
            part = take(output, group.picks)
            tokens[group.picks] = self._find(group, part, positions[group.picks], numbers[group.picks])
        return tokens

    def record(self, first: int, tokens: Ids) -> None:
        """Note that tokens [n] follow in rows [first, first + n)."""
        tracked = self._groups(first, first + len(tokens)).tracked
        if tracked.size:
            self._penalties.record(tracked, tokens[tracked - first])

    def _choose_way(self, sampling: SamplingParameters) -> tuple[Way, int]:
        if sampling.temperature == 0:
            return Way.GREEDY, 0
        if sampling.top_k or self._vocabulary_size <= self._given:
            width = self._given
            while width < min(sampling.top_k, self._vocabulary_size):
                width = self._wider(width)
            return Way.TOP, width
        return (Way.NUCLEUS, self._given) if sampling.top_p < 1 else (Way.PLAIN, 0)

    def _wider(self, width: int) -> int:
        return min(8 * width, self._vocabulary_size)

    def _groups(self, first: int, end: int) -> _Groups:
        if (first, end) not in self._made:
            groups = []
            kinds = (self._width * len(Way) + self._way)[first:end] * 2 + self._changed[first:end]
            for kind in np.unique(kinds).tolist():
                picks = np.flatnonzero(kinds == kind)
                groups.append(self._group(kind, first + picks, picks if len(picks) < end - first else None))
            tracked = first + np.flatnonzero(self._penalties.tracked[first:end])
            draws = self._way[first:end].any()  # GREEDY is 0
            numbers = Numbers(self._seed[first:end], self._sample[first:end]) if draws else None
            self._made[first, end] = _Groups(groups, numbers, tracked)
        return self._made[first, end]

    def _group(self, kind: int, rows: Ids, picks: Ids | None) -> _Group:
        top_k, top_p, min_p, typical_p = self._filters[:, rows, None]
        filters = Filters(
            top_k if (top_k < self._vocabulary_size).any() else None,
            top_p if np.isfinite(top_p).any() else None,
            min_p if min_p.any() else None,
            typical_p if np.isfinite(typical_p).any() else None,
        )
        width, way = divmod(kind // 2, len(Way))
        return _Group(Way(way), bool(kind % 2), width, rows, picks, self._scale[rows, None], filters)

    def _find(self, group: _Group, output: StepOutput, positions: Ids, numbers: Floats) -> Ids:
        logits, values, ids = output.logits, output.top_values, output.top_indices
        if group.changed:
            logits = self._penalties.apply(logits, group.rows, positions)
        if group.way is Way.GREEDY:
            return logits.argmax(axis=1) if group.changed else ids[:, 0]
        if group.way is Way.PLAIN:
            return draw(group.filters.apply(_weights(logits, logits, group.scale)), numbers)
        if group.changed or group.width > self._given:
            values, ids = largest(logits, group.width)
        if group.way is Way.TOP:
            return _pick(ids, draw(group.filters.apply(_weights(values, values[:, :1], group.scale)), numbers))
        return self._find_nucleus(group, logits, values, ids, numbers)

    def _find_nucleus(self, group: _Group, logits: Logits, values: Logits, ids: Ids, numbers: Floats) -> Ids:
        mass = _weights(logits, values[:, :1], group.scale).sum(axis=1, keepdims=True).astype(np.float64)
        tokens = np.empty(len(values), np.int64)
        rows = np.arange(len(values))
        while rows.size:
            weights, filters = _weights(values, values[:, :1], group.scale[rows]), group.filters.take(rows)
            tokens[rows] = _pick(ids, draw(filters.apply(weights, mass[rows]), numbers[rows]))
            held, width = cumulative_sums(weights)[:, -1], values.shape[1]
            assert filters.top_p is not None, "this way is for rows with top_p"
            short = (held < (filters.top_p * mass[rows])[:, 0]) & (width < self._vocabulary_size)
            rows = rows[short]
            if rows.size:
                values, ids = largest(logits[rows], self._wider(width))
        return tokens


def _weights(logits: Logits, within: Logits, scale: Column) -> Logits:
    """Return exp(scale * (logits - the largest of `within`)): float32, the likeliest weighs 1."""
    scaled = (logits - within.max(axis=1, keepdims=True)) * scale
    weights: Logits = np.exp(scaled, out=scaled)
    return weights


def _pick(ids: Ids, columns: Ids) -> Ids:
    found: Ids = ids[np.arange(len(columns)), columns]
    return found
