"""Trainings that are stopped in a chosen step, as by Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace

from training.assemble import Assembly
from training.batches import Batch, Batches, Share
from training.order import Order
from training.train import fit_by_gradient


class InterruptedBatches:
    """Real batches; fetching that of step `at` raises a real SIGINT, as Ctrl-C would."""

    def __init__(self, batches: Batches, at: int) -> None:
        self._batches = batches
        self._at = at

    def training(self, step: int, share: Share) -> Batch:
        if step == self._at:
            signal.raise_signal(signal.SIGINT)
        return self._batches.training(step, share)

    def validation(self, share: Share) -> Iterator[Batch]:
        return self._batches.validation(share)


def interrupted_fit(step: int) -> Callable[..., int]:
    """Return `fit_by_gradient` as it is when SIGINT comes in the given step."""

    def fit(order: Order, assembly: Assembly, *rest: object) -> int:
        batches = InterruptedBatches(assembly.data.batches, step)
        return fit_by_gradient(order, replace(assembly, data=replace(assembly.data, batches=batches)), *rest)

    return fit
