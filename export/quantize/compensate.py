"""Weights of four bits for every product, rounded by what calibration text says of the values that they multiply.

Only adds constants: which products use them is decided later, and those that nobody uses are swept. Knows nothing about
how rounding is compensated.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnx import ModelProto

from export.quantize.activations import Activations
from export.quantize.blocks import BLOCK, add_four
from export.quantize.constants import Constants
from export.quantize.products import find_groups
from export.quantize.replay import Place
from export.quantize.rounding import round_blocks


def compensate(graphs: Mapping[str, ModelProto], seen: Mapping[Place, Activations]) -> None:
    """Add the weights in four bits of every product whose values were seen, tables apart, to `graphs`."""
    for name, model in graphs.items():
        constants = Constants(model.graph)
        for group in find_groups(model.graph):
            moment = seen[name, group.name].moment if (name, group.name) in seen else None
            if moment is None or group.looked_up:
                continue
            for product in group.products:
                add_four(constants, product, round_blocks(product.weights(constants), moment, BLOCK))
