"""Which products may be coarse: measured one group at a time, then the fewest moved to finer forms that keep the loss.

One graph holds every form beside each other (`rewrite.selectable`), so a measurement is a run and not a new session.
What is measured is the divergence of the predictions from those in full (Kullback and Leibler 1951, mean over
positions): how much the log of the perplexity grows on text that the model itself would write. On a text, growth is the
same on average, but the few tokens that stand there make it too noisy to bisect.

A group's effect in a form is the divergence when it alone is rounded. Groups move to the next finer form, those first
that gain most for each bit that the finer form costs, and the least number of moves that keeps the divergence is found
by bisection. Knows nothing about how products are rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from bundle.manifest import Manifest
from export.quantize.constants import Constants, Floats
from export.quantize.loss import log_probabilities
from export.quantize.products import Group, find_groups
from export.quantize.replay import Place, Replay
from export.quantize.rewrite import CHOICES, FORMS, FULL, FULL_BITS, ladder_of, selectable
from export.quantize.text import Row, first_rows

Ladder = tuple[str, ...]
Forms = dict[str, dict[str, str]]
Choices = NDArray[np.int64]

# Tokens that a group's own effect is measured on, and what all groups do together.
EFFECT_TOKENS = 96
TOKENS = 512


class Sensitivity:
    """The groups of some graphs, each with its ladder of forms, and what any choice of them costs."""

    def __init__(
        self, graphs: Mapping[str, ModelProto], ladder: Ladder, rows: Sequence[Row], manifest: Manifest, threads: int
    ) -> None:
        self._groups: dict[Place, Group] = {
            (name, group.name): group for name, model in graphs.items() for group in find_groups(model.graph)
        }
        constants = {name: Constants(model.graph) for name, model in graphs.items()}
        self._ladders = {place: ladder_of(group, ladder, constants[place[0]]) for place, group in self._groups.items()}
        self._sizes = [_size(group, constants[name]) for (name, _), group in self._groups.items()]
        ladders = {
            name: {group: ladder for (graph, group), ladder in self._ladders.items() if graph == name}
            for name in graphs
        }
        some = ((name, selectable(model, ladders[name]) if ladders[name] else model) for name, model in graphs.items())
        self._replay = Replay(some, manifest, threads=threads)
        self._rows = first_rows(rows, TOKENS)

    def choose(self, limit: float) -> Forms | None:
        """Return the form of every group, the coarsest whose growth of perplexity is `limit` at most.

        None if that takes every group in full.
        """
        loss = self._loss_on(self._rows)
        coarsest = np.zeros(len(self._groups), np.int64)
        if loss(coarsest) <= limit:
            return self._forms(coarsest)
        moves = self._moves()
        within = least(lambda count: loss(_moved(coarsest, moves[:count])) <= limit, len(moves))
        return self._forms(_moved(coarsest, moves[:within])) if within < len(moves) else None

    def _finest(self) -> Choices:
        return np.array([len(ladder) for ladder in self._ladders.values()], np.int64)

    def _moves(self) -> list[int]:
        """Return groups by number in the order in which they move to a finer form, once for each form they have."""
        loss = self._loss_on(first_rows(self._rows, EFFECT_TOKENS, spread=True))
        moves = [
            (-gain, rung, index)
            for index in range(len(self._groups))
            for rung, gain in enumerate(self._gains(index, loss))
        ]
        return [index for _, _, index in sorted(moves)]

    def _gains(self, index: int, loss: Callable[[Choices], float]) -> list[float]:
        """Return what a group's moves gain for each bit that they cost, none more than the one before it."""
        ladder = list(self._ladders.values())[index]
        effects = []
        for rung in range(len(ladder)):
            choices = self._finest()
            choices[index] = rung
            effects.append(loss(choices))
        bits = [*(FORMS[form].bits for form in ladder), FULL_BITS]
        gains = -np.diff([*effects, 0.0]) / (np.diff(bits) * self._sizes[index])
        return [float(gain) for gain in np.minimum.accumulate(gains)]

    def _loss_on(self, rows: Sequence[Row]) -> Callable[[Choices], float]:
        """Return what tells how much perplexity grows with some choices, by divergence on `rows`."""
        before = [log_probabilities(self._run(row, self._finest())) for row in rows]
        tokens = sum(map(len, before))

        def loss(choices: Choices) -> float:
            apart = (
                _divergence(full, log_probabilities(self._run(row, choices)))
                for full, row in zip(before, rows, strict=True)
            )
            return float(np.expm1(sum(apart) / tokens))

        return loss

    def _run(self, row: Row, choices: Choices) -> Floats:
        # Each graph takes its own groups' choices; they lie one graph behind the other.
        names = [name for name, _ in self._groups]
        split = {name: choices[[index for index, other in enumerate(names) if other == name]] for name in set(names)}
        return self._replay.run(row, {name: {CHOICES: chosen} for name, chosen in split.items()})[0]

    def _forms(self, choices: Choices) -> Forms:
        forms: Forms = {name: {} for name, _ in self._groups}
        for ((name, group), ladder), choice in zip(self._ladders.items(), choices, strict=True):
            forms[name][group] = (*ladder, FULL)[choice]
        return forms


def least(holds: Callable[[int], bool], most: int) -> int:
    """Return the least number from 1 to `most` for which `holds`, which once it does holds for all above."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _moved(choices: Choices, moves: Sequence[int]) -> Choices:
    moved = choices.copy()
    np.add.at(moved, moves, 1)
    return moved


def _divergence(before: Floats, after: Floats) -> float:
    """Return the divergence of predictions [T, V], summed over positions, in nats."""
    return float((np.exp(before) * (before - after)).sum(dtype=np.float64))


def _size(group: Group, constants: Constants) -> int:
    return sum(int(np.prod(constants.shape(name))) for name in group.matrices)
