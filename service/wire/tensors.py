"""Tensors of the Open Inference Protocol: read from a request, checked, and written into a response.

Elements come typed, in a field of each tensor, or raw, beside all tensors; they go out raw. Knows nothing about models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import Message

from protos.inference import inference_pb2 as pb
from service.wire.checks import Checks

Value = bool | int | bytes
_LENGTH_BYTES = 4  # of the length that is before each element of raw BYTES
_MOST_DIMENSIONS = 8

# The fields of typed elements, and how raw ones are kept.
_TYPED = {"BOOL": "bool_contents", "INT32": "int_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}
_RAW = {"BOOL": np.dtype("?"), "INT32": np.dtype("<i4"), "INT64": np.dtype("<i8"), "FP32": np.dtype("<f4")}


@dataclass(frozen=True, slots=True)
class Kind:
    """What a tensor may be. datatypes: the first is the one that is told.    single: one element; BYTES always are."""

    datatypes: tuple[str, ...]
    single: bool = True

    @property
    def shape(self) -> list[int]:
        """As it is told, without leading dimensions of 1, which may be there."""
        return [1] if self.single else [-1]


def read_tensors(request: pb.ModelInferRequest, kinds: Mapping[str, Kind], checks: Checks) -> dict[str, list[Value]]:
    """Return the elements of the request's tensors by name: those that are sound. `checks` knows of the others."""
    raw, given = request.raw_input_contents, len(request.inputs)
    allowed = f"none, or one for each of {given} inputs"
    sound = checks.count("inputs", request.inputs, len(kinds))
    if not checks.require(len(raw) in (0, given), "raw_input_contents", f"{len(raw)} entries", allowed) or not sound:
        return {}
    found: dict[str, list[Value]] = {}
    for place, tensor in enumerate(request.inputs):
        kind = kinds.get(tensor.name)
        if checks.require(kind is not None, f"inputs[{place}].name", repr(tensor.name), ", ".join(kinds)) and kind:
            one = Given(tensor, f"inputs[{tensor.name}]", checks)
            sound = checks.require(tensor.name not in found, one.field, "there more than once", "once")
            if one.is_a(kind) and sound:
                values = one.raw(raw[place]) if raw else one.typed()
                if values is not None and one.holds(len(values)):
                    found[tensor.name] = values
    return found


def read_outputs(request: pb.ModelInferRequest, kinds: Mapping[str, Kind], checks: Checks) -> frozenset[str]:
    """Return the names of the tensors that are wanted; none where the request names none."""
    if not checks.count("outputs", request.outputs, len(kinds)):
        return frozenset()
    for place, output in enumerate(request.outputs):
        field = f"outputs[{place}]"
        checks.require(output.name in kinds, f"{field}.name", repr(output.name), ", ".join(kinds))
        _no_parameters(checks, field, output.parameters)
    return frozenset(output.name for output in request.outputs)


def add_texts(response: pb.ModelInferResponse, name: str, texts: Sequence[str]) -> None:
    """Put a tensor of BYTES, texts in UTF-8, into a response."""
    response.outputs.add(name=name, datatype="BYTES", shape=[len(texts)])
    content = [text.encode() for text in texts]
    response.raw_output_contents.append(b"".join(len(one).to_bytes(_LENGTH_BYTES, "little") + one for one in content))


def add_numbers(response: pb.ModelInferResponse, name: str, datatype: str, numbers: Sequence[float]) -> None:
    """Put a tensor of numbers, INT32 or FP32, into a response."""
    response.outputs.add(name=name, datatype=datatype, shape=[len(numbers)])
    response.raw_output_contents.append(np.array(numbers, _RAW[datatype]).tobytes())


@dataclass(frozen=True, slots=True)
class Given:
    """A tensor as it was given.    field: what it is called where something is wrong with it."""

    tensor: pb.ModelInferRequest.InferInputTensor
    field: str
    checks: Checks

    def is_a(self, kind: Kind) -> bool:
        """Require type, shape and no parameters."""
        tensor, shape = self.tensor, self.tensor.shape
        sound = _no_parameters(self.checks, self.field, tensor.parameters)
        known = tensor.datatype in kind.datatypes
        allowed = ", ".join(kind.datatypes)
        sound = self.checks.require(known, f"{self.field}.datatype", repr(tensor.datatype), allowed) and sound
        row = 1 <= len(shape) <= _MOST_DIMENSIONS and all(size == 1 for size in shape[:-1]) and shape[-1] >= 0
        told, allowed = f"{list(shape[:8])}", "[1] or [1, 1]" if kind.single else "[n] or [1, n]"
        fits = row and (not kind.single or shape[-1] == 1)
        return self.checks.require(fits, f"{self.field}.shape", told, allowed) and sound

    def holds(self, elements: int) -> bool:
        """Require as many elements as the shape tells."""
        size = self.tensor.shape[-1]
        return self.checks.require(elements == size, self.field, f"{elements} elements", f"{size}, by its shape")

    def typed(self) -> list[Value] | None:
        """Return the elements in the field of their type, the only one that may hold any, or None."""
        contents, own = self.tensor.contents, _TYPED[self.tensor.datatype]
        others = [other.name for other, _ in contents.ListFields() if other.name != own]
        allowed = f"{own}, for {self.tensor.datatype}"
        sound = self.checks.require(not others, f"{self.field}.contents", f"in {', '.join(others)}", allowed)
        return list(getattr(contents, own)) if sound else None

    def raw(self, content: bytes) -> list[Value] | None:
        """Return the elements in `content`, the only place that may hold any, or None."""
        typed = self.tensor.contents.ListFields()
        if not self.checks.require(not typed, f"{self.field}.contents", "set", "unset, with raw_input_contents"):
            return None
        if self.tensor.datatype == "BYTES":
            length = int.from_bytes(content[:_LENGTH_BYTES], "little")
            whole = len(content) == _LENGTH_BYTES + length
            allowed = "one element of BYTES, behind its length in four bytes, little-endian"
            sound = self.checks.require(whole, self.field, f"{len(content)} bytes", allowed)
            return [content[_LENGTH_BYTES:]] if sound else None
        dtype = _RAW[self.tensor.datatype]
        whole, allowed = len(content) % dtype.itemsize == 0, f"a multiple of {dtype.itemsize}"
        if not self.checks.require(whole, self.field, f"{len(content)} bytes", allowed):
            return None
        values: list[Value] = np.frombuffer(content, dtype).tolist()
        return values


def _no_parameters(checks: Checks, field: str, parameters: Mapping[str, Message]) -> bool:
    """Require none: those that are known elsewhere ask for shared memory or classes."""
    given = ", ".join(sorted(parameters)[:8])
    return checks.require(not parameters, f"{field}.parameters", given, "none; there is no shared memory here")
