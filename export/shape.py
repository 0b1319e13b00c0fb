"""The shapes a graph declares for its inputs and outputs: checked against its ports, then written out by axis name.

Tracing may freeze an axis that was meant to stay open and still succeed. An input that is frozen accepts nothing else
and is refused here. An output whose axis the tracer could not follow is declared as the port says; whether it truly has
that shape is measured by the parity gate. Knows nothing about how the graph was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx

from export.port import Port, Ports
from export.refusal import Refusal


class _MismatchError(Exception):
    """What a graph has is not what is declared."""


def settle_shapes(model: onnx.ModelProto, ports: Ports) -> None:
    """Check inputs and outputs of `model` against `ports` and name their axes. Raises Refusal."""
    sides = (("input", model.graph.input, ports.inputs), ("output", model.graph.output, ports.outputs))
    try:
        for side, values, declared in sides:
            _check_names(side, values, declared)
            for value, port in zip(values, declared, strict=True):
                _check_axes(side, value, port)
                _check_dtype(side, value, port)
                _name_axes(value, port)
    except _MismatchError as mismatch:
        raise Refusal(f"check 'declared axes' failed: {mismatch}") from None


def _check_names(side: str, values: Iterable[onnx.ValueInfoProto], ports: Sequence[Port]) -> None:
    found, declared = [value.name for value in values], [port.name for port in ports]
    if found != declared:
        raise _MismatchError(f"{side}s are {', '.join(found)}; declared are {', '.join(declared)}")


def _check_axes(side: str, value: onnx.ValueInfoProto, port: Port) -> None:
    dims = value.type.tensor_type.shape.dim
    if len(dims) != len(port.axes):
        raise _MismatchError(f"{side} {port.name} has {len(dims)} axes, declared are {len(port.axes)}")
    for index, (dim, axis) in enumerate(zip(dims, port.axes, strict=True)):
        fixed = dim.dim_value if dim.HasField("dim_value") else None
        if isinstance(axis, str) and fixed is not None and side == "input":
            raise _MismatchError(f"input {port.name} axis {index} ({axis}) is frozen to {fixed}")
        if isinstance(axis, int) and fixed not in (axis, None):
            raise _MismatchError(f"{side} {port.name} axis {index} is {fixed}, declared is {axis}")


def _check_dtype(side: str, value: onnx.ValueInfoProto, port: Port) -> None:
    found = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    if found != port.dtype:
        raise _MismatchError(f"{side} {port.name} is {found}, declared is {port.dtype}")


def _name_axes(value: onnx.ValueInfoProto, port: Port) -> None:
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    for axis in port.axes:
        dim = shape.dim.add()
        if isinstance(axis, int):
            dim.dim_value = axis
        else:
            dim.dim_param = axis
