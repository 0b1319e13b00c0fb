"""Ports: the declared inputs and outputs of a bundle's graphs, each a name, a dtype and axes that are sizes or names.

One declaration serves three ends: the example tensors the exporter traces with, the axes it is told to keep open, and
the check of what it made. An axis that is a word is dynamic, an axis that is a number is fixed. Knows nothing about
tracing or ONNX files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bundle.manifest import StateDtype, StateSpec, ViewSpec
from training.models.step_model import SourceStepModel, StepModel

BATCH, TIME, ROWS, SOURCE = "batch", "time", "rows", "source"

# Sizes of the dynamic axes while tracing: none is 1 (a size of 1 broadcasts and would be frozen into the graph), all
# differ, so that no two axes are taken for the same.
EXAMPLE_SIZES = {BATCH: 3, TIME: 7, ROWS: 5, SOURCE: 11}


@dataclass(frozen=True, slots=True)
class Port:
    """An input or an output of a graph. An axis is a fixed size or the name of a dynamic axis."""

    name: str
    dtype: StateDtype
    axes: tuple[int | str, ...]

    def example(self, sizes: Mapping[str, int]) -> Tensor:
        """Return a tensor of ones of the declared shape: as a length, as an index and as a token 1 is valid."""
        shape = [axis if isinstance(axis, int) else sizes[axis] for axis in self.axes]
        return torch.ones(shape, dtype=getattr(torch, self.dtype))

    @property
    def dynamic_axes(self) -> dict[int, str]:
        return {index: axis for index, axis in enumerate(self.axes) if isinstance(axis, str)}


@dataclass(frozen=True, slots=True)
class Ports:
    """All inputs and outputs of a graph, in order."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def step_ports(model: StepModel, top_k: int) -> Ports:
    """The ports of the step graph of `model`, whose `top_values` are `top_k` wide."""
    inputs = (
        Port("tokens", "int64", (BATCH, TIME)),
        Port("lengths", "int64", (BATCH,)),
        Port("logits_indices", "int64", (ROWS,)),
        *(_state_port(spec, spec.name) for spec in model.states),
    )
    outputs = (
        Port("logits", "float32", (ROWS, model.vocabulary_size)),
        Port("top_values", "float32", (ROWS, top_k)),
        Port("top_indices", "int64", (ROWS, top_k)),
        *(_state_port(spec, f"{spec.name}_next") for spec in model.states if spec.kind != "static"),
    )
    return Ports(inputs, outputs)


def start_ports(model: SourceStepModel, given: Iterable[str]) -> Ports:
    """The ports of the start graph of `model`, which gives the states named in `given`."""
    names = set(given)
    inputs = (Port("source", "int64", (BATCH, SOURCE)), Port("lengths", "int64", (BATCH,)))
    return Ports(inputs, tuple(_state_port(spec, spec.name) for spec in model.states if spec.name in names))


def inspect_ports(model: StepModel) -> Ports:
    """The ports of the inspection graph of `model`, which reads one whole sequence."""
    inputs = [Port("tokens", "int64", (1, TIME))]
    if isinstance(model, SourceStepModel):
        inputs.append(Port("source", "int64", (1, SOURCE)))
    outputs = (Port("logits", "float32", (1, TIME, model.vocabulary_size)), *map(_view_port, model.views))
    return Ports(tuple(inputs), outputs)


def _view_port(view: ViewSpec) -> Port:
    times = SOURCE if view.part == "encoder" else TIME
    if not view.is_attention:
        return Port(view.output, "float32", (1, times, view.size))
    return Port(view.output, "float32", (1, view.size, times, TIME if view.kind == "decoder_self" else SOURCE))


def _state_port(spec: StateSpec, name: str) -> Port:
    return Port(name, spec.dtype, (BATCH, *spec.shape))
