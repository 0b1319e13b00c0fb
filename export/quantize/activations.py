"""What the products of float32 graphs multiply, seen on calibration text: the size of each channel, and some rows.

Knows nothing about what is done with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from bundle.manifest import Manifest
from export.quantize.constants import Floats
from export.quantize.products import find_groups
from export.quantize.replay import Place, Replay
from export.quantize.text import Row

SAMPLE = 128


@dataclass(slots=True)
class Activations:
    """One value over all of the text.

    Attributes:
        largest: [K], of each channel without its sign.
        sample: [at most SAMPLE, K], rows spread over the text.
        moment: [K, K] float64, sum of the outer products of all rows.
        rows: how many there were.
    """

    largest: Floats
    sample: Floats
    moment: NDArray[np.float64] | None = None
    rows: int = 0


def watch(
    graphs: Mapping[str, ModelProto],
    manifest: Manifest,
    rows: Sequence[Row],
    threads: int = 0,
    *,
    moments: bool = False,
) -> dict[Place, Activations]:
    """Run `rows` through `graphs`; return what each group of products multiplies, by graph and value.

    moments: whether to sum outer products too.
    """
    watched = [
        (name, group.name)
        for name, model in graphs.items()
        for group in find_groups(model.graph)
        if group.products and not group.inner
    ]
    replay = Replay(graphs.items(), manifest, watched, threads)
    found: dict[Place, Activations] = {}
    share = -(-SAMPLE // len(rows))
    for row in rows:
        for place, value in replay.run(row)[1].items():
            _add(found, place, value.reshape(-1, value.shape[-1]), share, moments=moments)
    return found


def _add(found: dict[Place, Activations], place: Place, values: Floats, share: int, *, moments: bool) -> None:
    picked = values[:: max(1, len(values) // share)][:share]
    largest = np.abs(values).max(axis=0)
    if place in found:
        seen = found[place]
        seen.largest = np.maximum(seen.largest, largest)
        seen.sample = np.concatenate((seen.sample, picked))[:SAMPLE]
    else:
        seen = found[place] = Activations(largest, picked.copy())
    seen.rows += len(values)
    if moments:
        product = (values.T @ values).astype(np.float64)
        seen.moment = product if seen.moment is None else seen.moment + product
