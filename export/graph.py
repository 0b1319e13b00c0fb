"""From a step model to its ONNX graphs: one exporter for every model, whatever is inside its step.

The model is wrapped so that its states are positional inputs and outputs, logits are computed only at the positions
asked for and the largest of them come sorted; then PyTorch's exporter traces it with every dynamic axis open. Knows
nothing about files, bundles or the parity gate.
"""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator, Mapping

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.branches import branch
from export.clean import clean
from export.early import pick_early
from export.port import EXAMPLE_SIZES, SOURCE, TIME, Ports, inspect_ports, start_ports, step_ports
from export.refusal import Refusal
from export.residual import join_residuals
from export.shape import settle_shapes
from export.steady import steady
from training.models.step_model import SourceStepModel, StepModel, Views

OPSET = 23


class StepGraph(nn.Module):
    """The step of a model over positional states, as the step graph of a bundle takes them."""

    def __init__(self, model: StepModel, top_k: int) -> None:
        super().__init__()
        self.model = model
        self.top_k = top_k
        self._names = [spec.name for spec in model.states]
        self._updated = [spec.name for spec in model.states if spec.kind != "static"]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Take tokens [B, T], lengths [B], logits_indices [N] (flat positions of the [B, T] grid) and every state.

        Return logits [N, V], top_values and top_indices [N, k], and every state that is not static. Only the features
        at `logits_indices` go through the head: a prefill pays for one position a row.
        """
        tokens, lengths, logits_indices, *states = inputs
        state = dict(zip(self._names, states, strict=True))
        features, after = self.model.step(tokens, lengths, state)  # [B, T, F]
        chosen = features.flatten(0, 1).index_select(0, logits_indices)  # [N, F]
        logits = self.model.logits(chosen)  # [N, V]
        values, indices = logits.topk(self.top_k)
        return logits, values, indices, *(after[name] for name in self._updated)


class StartGraph(nn.Module):
    """The encoder of a model, its static states padded along the source to their declared capacity."""

    def __init__(self, model: SourceStepModel, given: list[str]) -> None:
        super().__init__()
        self.model = model
        self._specs = [spec for spec in model.states if spec.name in given]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Take source [B, S] and lengths [B]; return the states made from them, in declared order."""
        source, lengths = inputs
        state = self.model.start(source, lengths)
        return tuple(_padded(state[spec.name], spec.axis, spec.shape) for spec in self._specs)


class InspectGraph(nn.Module):
    """A model that reads one whole sequence and shows what it declares."""

    def __init__(self, model: StepModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Take tokens [1, T] and, with an encoder, source [1, S]; return logits [1, T, V] and every declared view."""
        tokens, *source = inputs
        state, views = self.model.initial_state(1, 0), Views()
        if isinstance(self.model, SourceStepModel):
            made, views = self.model.look_at_source(source[0])
            state |= made
        features, seen = self.model.look(tokens, state)
        views |= seen
        return self.model.logits(features), *(views[view.output] for view in self.model.views)


def export_step(model: StepModel, top_k: int) -> onnx.ModelProto:
    """Export the step graph. Raises Refusal."""
    return _export(StepGraph(model, top_k), step_ports(model, top_k), {TIME: model.context_limit})


def export_start(model: SourceStepModel) -> onnx.ModelProto:
    """Export the start graph. Raises Refusal."""
    with torch.no_grad():
        given = model.start(torch.zeros(2, 2, dtype=torch.int64), torch.tensor([2, 1]))
    allowed = {spec.name for spec in model.states if spec.kind != "cache"}
    if strangers := sorted(given.keys() - allowed):
        raise Refusal(f"start gives {strangers[0]!r}, allowed are {', '.join(sorted(allowed))}")
    return _export(StartGraph(model, list(given)), start_ports(model, given), {SOURCE: model.source_limit})


def export_inspection(model: StepModel) -> onnx.ModelProto:
    """Export the inspection graph of a model that declares views. Raises Refusal."""
    limits = {TIME: model.context_limit, SOURCE: model.source_limit if isinstance(model, SourceStepModel) else None}
    return _export(InspectGraph(model), inspect_ports(model), limits)


def _padded(tensor: Tensor, axis: int | None, shape: tuple[int, ...]) -> Tensor:
    """Pad [B, ..., S, ...] with zeros to [B, *shape]; `axis` counts without the batch."""
    if axis is None:
        return tensor
    behind = (0, 0) * (len(shape) - 1 - axis)  # `pad` counts axes from the last
    return F.pad(tensor, (*behind, 0, shape[axis] - tensor.shape[axis + 1]))


def _export(module: nn.Module, ports: Ports, limits: Mapping[str, int | None]) -> onnx.ModelProto:
    sizes = {axis: min(size, limits.get(axis) or size) for axis, size in EXAMPLE_SIZES.items()}
    program = _trace(module.eval(), ports, sizes, limits)
    graph = steady(clean(branch(pick_early(join_residuals(_convert(program, ports))))))
    settle_shapes(graph, ports)
    return graph


def _convert(program: torch.export.ExportedProgram, ports: Ports) -> onnx.ModelProto:
    try:
        with _quiet():
            exported = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=_opset(program),
                input_names=[port.name for port in ports.inputs],
                output_names=[port.name for port in ports.outputs],
                verbose=False,
            )
    except Exception as error:
        # As when it is traced: what PyTorch cannot convert is something in the model's own code.
        raise Refusal(f"check 'converts' failed: {_condensed(error.__cause__ or error)}") from error
    assert exported is not None
    return exported.model_proto


def _trace(
    module: nn.Module, ports: Ports, sizes: Mapping[str, int], limits: Mapping[str, int | None]
) -> torch.export.ExportedProgram:
    axes = {axis for port in ports.inputs for axis in port.dynamic_axes.values()}
    dims = {axis: torch.export.Dim(axis, min=1, max=limits.get(axis)) for axis in sorted(axes)}
    example = tuple(port.example(sizes) for port in ports.inputs)
    dynamic = tuple({index: dims[axis] for index, axis in port.dynamic_axes.items()} for port in ports.inputs)
    try:
        with torch.no_grad(), _quiet():
            # Traced here and not by torch.onnx.export: that one falls back to other ways of tracing when the first
            # fails, and some of them freeze axes without a word.
            return torch.export.export(module, example, dynamic_shapes=(dynamic,), strict=False)
    except Exception as error:
        # Whatever the model's own code raises under tracing is about the model.
        raise Refusal(f"check 'traces' failed: {_condensed(error)}") from error


def _opset(program: torch.export.ExportedProgram) -> int:
    """The least opset that holds every ONNX operator the model names outright."""
    versions = [node.kwargs.get("version") for node in program.graph.nodes if node.kwargs.get("domain", "") == ""]
    return max([OPSET, *(version for version in versions if isinstance(version, int))])


def _condensed(error: BaseException) -> str:
    """The first sentences of what PyTorch says over many lines: what is wrong, and where."""
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()][:2]
    return ": ".join([type(error).__name__, *(re.split(r"[.!] ", line)[0] for line in lines)])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says about itself: operators of libraries that are absent, deprecations inside."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
