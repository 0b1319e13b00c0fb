"""What is taken out of a graph before it is written: traces of the machine and of the tool that made it.

The exporter notes at every node which line of which source file it came from. Those paths belong to whoever exports,
differ from machine to machine and change nothing of what the graph computes. Knows nothing about models or bundles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import onnx

# The highest intermediate representation that every ONNX Runtime since 1.18 loads.
IR_VERSION = 10
PRODUCER = "seqstream"


def clean(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return `model` without doc strings, metadata and shapes of inner values, with producer and IR version set."""
    for graph in _graphs(model.graph):
        _strip([graph, *graph.node, *graph.input, *graph.output, *graph.initializer])
        # Inner shapes are for readers: the runtime infers its own, and the tracer's may be fixed where ours are not.
        del graph.value_info[:]
    for function in model.functions:
        _strip([function, *function.node])
        del function.value_info[:]
    _strip([model])
    model.producer_name, model.producer_version, model.domain = PRODUCER, "", ""
    model.graph.name = PRODUCER
    model.ir_version = IR_VERSION
    return model


def _strip(parts: Iterable[Any]) -> None:
    for part in parts:  # messages of different types with these two fields in common
        part.doc_string = ""
        del part.metadata_props[:]


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield `graph` and every graph inside its nodes (bodies of Scan, Loop, If)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from _graphs(inner)
