"""Weights of four bits for every product, rounded by what calibration text says of the values that they multiply.

Weights that lie on levels of blocks already keep these: as they are where zero is a level of each block, and with what
else each block needs in a further form. Only adds constants: which products use them is decided later, and those that
nobody uses are swept. Knows nothing about how rounding is compensated.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from export.quantize.activations import Activations
from export.quantize.blocks import BLOCK, add_four, add_levels
from export.quantize.constants import Constants
from export.quantize.levels import find_levels
from export.quantize.products import Product, find_groups
from export.quantize.replay import Place
from export.quantize.rounding import round_blocks


def on_levels(graphs: Mapping[str, ModelProto]) -> set[Place]:
    """Return the groups of products, tables apart, whose weights all lie on levels of blocks along the inputs."""
    found: set[Place] = set()
    for name, model in graphs.items():
        constants = Constants(model.graph)
        for group in find_groups(model.graph):
            matrices = (product.weights(constants) for product in group.products if not group.looked_up)
            levels = [find_levels(weights, BLOCK) for weights in matrices]
            if levels and None not in levels:
                found.add((name, group.name))
    return found


def compensate(graphs: Mapping[str, ModelProto], seen: Mapping[Place, Activations]) -> None:
    """Add the weights in four bits of every product whose values were seen to `graphs`."""
    for name, model in graphs.items():
        constants = Constants(model.graph)
        for group in find_groups(model.graph):
            moment = seen[name, group.name].moment if (name, group.name) in seen else None
            if moment is not None:
                for product in group.products:
                    _add(constants, product, moment)


def _add(constants: Constants, product: Product, moment: NDArray[np.float64]) -> None:
    weights = product.weights(constants)
    levels = find_levels(weights, BLOCK)
    if levels is not None and levels.through_zero:
        add_four(constants, product, levels.blocks)
        return
    add_four(constants, product, round_blocks(weights, moment, BLOCK))
    if levels is not None and not product.looked_up:
        add_levels(constants, product, levels)
