"""Caches of attention in 8 bits: a scale for each channel of keys and of values, from calibration text.

`GroupQueryAttention` rounds the keys and values of a call as it appends them, and reads those of the call where it
reads the past, in its caches: how a prompt is cut changes no bit. Of its two ways to compute, the one in blocks divides
the past among threads where rows are few, and gives a row alone other bits than one among others. A sink of nothing
(`steady.add_sink`) takes the other, which reads place by place. Works on operators: it knows nothing about models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from bundle.folder import STEP_GRAPH
from bundle.manifest import Manifest, StateSpec
from export.quantize.constants import Constants, Floats
from export.quantize.replay import Replay
from export.quantize.rotation import rotation_of
from export.quantize.text import Row
from export.refusal import Refusal
from export.steady import add_sink, block

# Places of keys and of values in the operator: the cache that is read, the one that is written, the scale.
_KEYS, _VALUES = (3, 1, 12), (4, 2, 13)
_INPUTS = 14
# Beyond the largest of calibration: what is larger is cut off, and costs more than coarser steps.
_ROOM = 1.15
_LEVELS = 127
# A channel that calibration hardly saw still has this share of the largest channel's range.
_LEAST = 1e-3


def find_attentions(graph: GraphProto) -> list[NodeProto]:
    """Return every attention that alone reads and writes its caches, states of the graph."""
    given, made = ({value.name for value in values} for values in (graph.input, graph.output))
    readers = Counter(name for node in graph.node if node.op_type != "Shape" for name in node.input)

    def owns(node: NodeProto) -> bool:
        return all(
            node.input[past] in given
            and node.output[new] == f"{node.input[past]}_next"
            and node.output[new] in made
            and readers[node.input[past]] == 1
            and not readers[node.output[new]]
            for past, new, _ in (_KEYS, _VALUES)
        )

    return [node for node in graph.node if node.op_type == "GroupQueryAttention" and owns(node)]


def round_caches(
    graphs: Mapping[str, ModelProto],
    manifest: Manifest,
    rows: Sequence[Row],
    threads: int = 0,
    others: Sequence[ModelProto] = (),
) -> Manifest:
    """Give the caches of `graphs` 8 bits, in place; return the manifest with their states and calls as they are now.

    others: step graphs that read and write the same caches.

    Raises:
        Refusal: no cache belongs to a GroupQueryAttention.
    """
    model = graphs[STEP_GRAPH]
    if not (attentions := find_attentions(model.graph)):
        raise Refusal("--cache int8: no cache is read and written by a GroupQueryAttention alone")
    ranges = _ranges(graphs, attentions, manifest, rows, threads)
    for each in (model, *others):
        constants = Constants(each.graph)
        for node in find_attentions(each.graph):
            _round(each.graph, constants, node, ranges)
        for value in [*each.graph.input, *each.graph.output]:
            if value.name.removesuffix("_next") in ranges:
                value.type.tensor_type.elem_type = TensorProto.INT8
    states = tuple(_rounded(spec) if spec.name in ranges else spec for spec in manifest.states)
    calls = manifest.calls.model_copy(update={"block": block(model)})
    return manifest.model_copy(update={"states": states, "calls": calls})


def _ranges(
    graphs: Mapping[str, ModelProto],
    attentions: Sequence[NodeProto],
    manifest: Manifest,
    rows: Sequence[Row],
    threads: int,
) -> dict[str, Floats]:
    """Return for each cache the largest size [kv_heads, head_width] that its channels had on `rows`, or may have."""
    constants = Constants(graphs[STEP_GRAPH].graph)
    rotations = {node.input[_KEYS[0]]: rotation_of(node, constants) for node in attentions}
    names = [node.input[past] for node in attentions for past, _, _ in (_KEYS, _VALUES)]
    replay = Replay(graphs.items(), manifest, [(STEP_GRAPH, f"{name}_next") for name in names], threads)
    found = {name: np.zeros((), np.float32) for name in names}
    for row in rows:
        seen = replay.run(row)[1]
        for name in names:
            cache = seen[STEP_GRAPH, f"{name}_next"][0, :, : len(row.tokens) - 1]  # [kv_heads, T, head_width]
            rotation = rotations.get(name)
            sizes = np.abs(cache) if rotation is None else rotation.sizes_anywhere(cache)
            found[name] = np.maximum(found[name], sizes.max(axis=1))
    return found


def _round(graph: GraphProto, constants: Constants, node: NodeProto, ranges: Mapping[str, Floats]) -> None:
    """Let `node` keep its caches in 8 bits."""
    add_sink(graph, node)
    inputs = [*node.input, *[""] * (_INPUTS - len(node.input))]
    for past, _, scale in (_KEYS, _VALUES):
        sizes = ranges[node.input[past]]
        least = _LEAST * float(sizes.max()) or 1.0
        scales = np.maximum(sizes, np.float32(least)).reshape(-1) * np.float32(_ROOM / _LEVELS)
        inputs[scale] = constants.add(f"{node.input[past]}.scale", scales)
    del node.input[:]
    node.input.extend(inputs)
    node.attribute.extend(
        [
            helper.make_attribute("k_quant_type", "PER_CHANNEL"),
            helper.make_attribute("v_quant_type", "PER_CHANNEL"),
            helper.make_attribute("kv_cache_bit_width", 8),
        ]
    )


def _rounded(spec: StateSpec) -> StateSpec:
    return spec.model_copy(update={"dtype": "int8"})
