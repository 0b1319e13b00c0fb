"""The gate of the inspection graph: what it shows is what the model does, and what the served graph does.

Its views are compared with PyTorch's, its logits with those of the step graph, which runs as a server runs it; and
every view is what its kind promises. Measured on the float32 graphs, before a precision rounds the step graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bundle.folder import Bundle, BundleError
from bundle.inspector import LOGITS, Inspector
from bundle.manifest import ParityCheck, ViewSpec
from export.compare import relative
from export.play import Player, open_runner
from export.refusal import Refusal
from export.sequences import Ids, Maker, Sequences
from training.models.step_model import SourceStepModel, StepModel, Views

Floats = NDArray[np.float32]

# As between PyTorch and ONNX Runtime everywhere else; `weigh` and the fused operators sum in another order.
_ROUNDING = 1e-4
_SUM = 1e-5
# Beyond what a call may look at, nothing needs to hold.
_LENGTHS = (1, 2, 7, 17, 33, 129)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the inspection graph said of one row, what the model says of it, and the logits of the step graph."""

    views: dict[str, Floats]
    expected: dict[str, Floats]
    served: Floats


@dataclass(frozen=True, slots=True)
class ViewCheck:
    """A promise of the inspection graph that is measured at every export of one."""

    name: str
    tolerance: float
    measure: Callable[[Seen, tuple[ViewSpec, ...]], float]


def verify_views(model: StepModel, bundle: Bundle, trained_length: int, threads: int = 0) -> tuple[ParityCheck, ...]:
    """Measure the inspection graph of `bundle`, which is there but for its manifest's report.

    Raises:
        Refusal: at the first row for which a promise is broken, or if the graph does not load.
    """
    maker = Maker(bundle.manifest, trained_length)
    inspector = Inspector(bundle, threads)
    try:
        inspector.open()
        player = Player(open_runner(bundle, threads), 1)
    except BundleError as error:
        raise Refusal(f"check 'views load' failed: {error}") from error
    lengths = [length for length in _LENGTHS if length <= maker.longest]
    sequences = [maker.of_lengths([length] * 3).row(index % 3) for index, length in enumerate(lengths)]
    found: dict[str, list[float]] = {check.name: [] for check in VIEW_CHECKS}
    for each in sequences:
        seen = _look(model, inspector, player, each)
        for check in VIEW_CHECKS:
            off = check.measure(seen, bundle.manifest.views)
            if not off <= check.tolerance:
                raise Refusal(
                    f"check {check.name!r} failed at {each}: error {off:.3g}, tolerance {check.tolerance:.3g}"
                )
            found[check.name].append(off)
    shapes = tuple(map(str, sequences))
    return tuple(
        ParityCheck(
            name=check.name, shapes=shapes, tolerance=check.tolerance, largest_error=max(found[check.name], default=0.0)
        )
        for check in VIEW_CHECKS
    )


def _look(model: StepModel, inspector: Inspector, player: Player, sequences: Sequences) -> Seen:
    (tokens,), sources = sequences.tokens, sequences.sources
    source = None if sources is None else sources[0]
    outputs = [LOGITS, *(view.output for view in inspector.manifest.views)]
    try:
        views = inspector.look(tokens, source, outputs)
    except BundleError as error:
        raise Refusal(f"check 'views run' failed at {sequences}: {error}") from error
    return Seen(views, _expected(model, tokens, source), player.whole(sequences)[0])


@torch.no_grad()
def _expected(model: StepModel, tokens: Ids, source: Ids | None) -> dict[str, Floats]:
    """What the model itself shows and says, by PyTorch."""
    state, views = model.initial_state(1, 0), Views()
    if source is not None:
        assert isinstance(model, SourceStepModel)
        made, views = model.look_at_source(torch.from_numpy(source)[None])
        state |= made
    features, seen = model.look(torch.from_numpy(tokens)[None], state)
    said = {LOGITS: model.logits(features), **views, **seen}
    return {name: np.asarray(tensor[0].numpy()) for name, tensor in said.items()}


def _as_torch(seen: Seen, views: tuple[ViewSpec, ...]) -> float:
    return max(relative(seen.views[name], seen.expected[name]) for name in (LOGITS, *(view.output for view in views)))


def _as_served(seen: Seen, _: tuple[ViewSpec, ...]) -> float:
    return relative(seen.views[LOGITS], seen.served)


def _sums(seen: Seen, views: tuple[ViewSpec, ...]) -> float:
    """How far the sum of a row of attention is from 1."""
    maps = (seen.views[view.output] for view in views if view.is_attention)
    return max((float(np.abs(each.sum(axis=-1, dtype=np.float64) - 1).max()) for each in maps), default=0.0)


def _within(seen: Seen, views: tuple[ViewSpec, ...]) -> float:
    """How far a gate or a weight is outside of 0 to 1, and how much a decoder reads of what comes later."""
    errors = [0.0]
    for view in views:
        values = seen.views[view.output]
        if view.kind != "state":
            errors += [float(np.maximum(-values, values - 1).max())]
        if view.kind == "decoder_self":
            errors += [float(np.abs(np.triu(values, 1)).max())]
    return max(errors)


VIEW_CHECKS = (
    ViewCheck("views as torch", _ROUNDING, _as_torch),
    ViewCheck("views as served", _ROUNDING, _as_served),
    ViewCheck("attention sums", _SUM, _sums),
    # A sum of exponentials may round to a weight of 1 + 1e-7.
    ViewCheck("views within", 1e-6, _within),
)
