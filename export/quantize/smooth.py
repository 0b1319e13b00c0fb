"""Smoothing: channels of a value that are much larger than others are made smaller, and their weights larger instead.

The product stays what it is, but a value without outliers loses less when its rows are rounded (SmoothQuant, Xiao et
al. 2023: factor max|x|^a / max|w|^(1-a) for each channel). Here `a` is searched for each group of products by the error
of their outputs on calibration text, sizes of channels are taken both as largest and as root mean square of rows that
are scaled as rounding scales them, and only where the factors fold into constants: at run time it costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper

from export.quantize.activations import Activations
from export.quantize.constants import Constants, Floats, replace_nodes
from export.quantize.fold import Fold, Folder, unshare
from export.quantize.products import Group, find_groups, is_lookup
from export.quantize.replay import Place

# Values and weights as a form rounds them.
Rounding = Callable[[Floats, Floats], tuple[Floats, Floats]]

_EXPONENTS = (0.35, 0.45, 0.55, 0.65, 0.75, 0.85)
# Columns of a product that its error is measured on.
_COLUMNS = 512
_LEAST = 1e-5


def smooth(
    graphs: Mapping[str, ModelProto],
    seen: Mapping[Place, Activations],
    rounding: Rounding,
    kept: Collection[Place] = (),
    *,
    in_caches: bool = True,
) -> dict[Place, Floats]:
    """Smooth `graphs` in place; return the factors that the channels of each smoothed value were divided by.

    `seen` is changed with them. kept: groups whose weights must stay as they are, input by input. in_caches: whether
    what attention keeps may change as well.
    """
    factors: dict[Place, Floats] = {}
    for name, model in graphs.items():
        constants = Constants(model.graph)
        unshare(model.graph, constants)
        for group in reversed(find_groups(model.graph)):
            fold = Folder(model.graph, constants, in_caches=in_caches).find(group)
            if fold is not None and (name, group.name) in seen and (name, group.name) not in kept:
                activations = seen[name, group.name]
                best = _search(constants, group, fold, activations, rounding)
                _apply(model.graph, constants, group, fold, best)
                activations.largest, activations.sample = activations.largest / best, activations.sample / best
                if activations.moment is not None:
                    activations.moment /= np.outer(best, best)
                factors[name, group.name] = best
    return factors


def output_error(values: Floats, weights: Floats, rounding: Rounding) -> float:
    """Return how far products of rounded `values` [R, K] and `weights` [K, N] are off, as a share, squared."""
    return _apart(values @ weights, rounding(values, weights))


def _apart(exact: Floats, rounded: tuple[Floats, Floats]) -> float:
    wrong = ((rounded[0] @ rounded[1] - exact) ** 2).sum(axis=1)
    return float(np.mean(wrong / np.maximum((exact**2).sum(axis=1), 1e-12)))


def _search(constants: Constants, group: Group, fold: Fold, activations: Activations, rounding: Rounding) -> Floats:
    weights = np.concatenate([product.weights(constants) for product in group.products], axis=1)
    size = np.maximum(np.abs(weights).max(axis=1), _LEAST)
    some = np.ascontiguousarray(weights[:, :: -(-weights.shape[1] // _COLUMNS)])
    best = np.ones(len(size), np.float32)
    exact = activations.sample @ some
    least = _apart(exact, rounding(activations.sample, some))
    for factors in _candidates(activations, size, fold):
        error = _apart(exact, rounding(activations.sample / factors, some * factors[:, None]))
        if error < least:
            best, least = factors, error
    return best


def _candidates(activations: Activations, weights: Floats, fold: Fold) -> Iterator[Floats]:
    """Yield factors [K], the same for channels that come from one place."""
    rows = activations.sample / np.maximum(np.abs(activations.sample).max(axis=1, keepdims=True), _LEAST)
    _, origin = np.unique(fold.origin, return_inverse=True)
    for channels in (activations.largest, np.sqrt((rows**2).mean(axis=0))):
        shared = np.zeros(origin.max() + 1, np.float32)
        np.maximum.at(shared, origin, np.maximum(channels, _LEAST * channels.max()))
        heavy = np.zeros(origin.max() + 1, np.float32)
        np.maximum.at(heavy, origin, weights)
        for exponent in _EXPONENTS:
            factors = shared**exponent / heavy ** (1 - exponent)
            factors = factors / np.exp(np.mean(np.log(factors)))  # of mean 1: a row keeps its size
            yield np.clip(factors, 1e-4, 1e4).astype(np.float32)[origin]


def _apply(graph: GraphProto, constants: Constants, group: Group, fold: Fold, factors: Floats) -> None:
    for name, axis, channels in fold.places:
        array = constants.floats(name).copy()
        inverse = np.ones(array.shape[axis], np.float32)
        inverse[channels] = 1 / factors
        constants.change(name, array * np.expand_dims(inverse, tuple(i for i in range(array.ndim) if i != axis)))
    for product in group.products:
        array = constants.floats(product.weight)
        constants.change(product.weight, array * (factors if product.across else factors[:, None]))
        if product.looked_up:
            _undo_in_lookups(graph, constants, product.weight, factors)


def _undo_in_lookups(graph: GraphProto, constants: Constants, table: str, factors: Floats) -> None:
    """Divide what is read from `table` by the factors that it now holds."""
    made: list[NodeProto] = []
    inverse = constants.add(f"{table}.unsmooth", 1 / factors)
    for node in graph.node:
        made.append(node)
        if is_lookup(node, constants) and node.input[0] == table:
            output = node.output[0]
            node.output[0] = f"{output}.smooth"
            made.append(helper.make_node("Mul", [f"{output}.smooth", inverse], [output]))
    replace_nodes(graph, made)
