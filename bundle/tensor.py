"""A tensor of a graph as its file tells it: whether its shape, its bytes and the place of its weights agree.

Field numbers are those of onnx.proto (ONNX 1.23). No weights are read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod

from bundle.protobuf import MalformedError, Value, fields, grouped, last_text, message, number, text, varints

# Bits of an element, by ONNX's number of its type; texts (8) have no size.
_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip
_INT64 = 7
_MOST_AXES = 16
_MOST_NUMBERS = 64
_EXTERNAL = 1
# Fields that hold elements: one by one, as text, or as raw bytes.
_ELEMENTS = (4, 5, 6, 7, 9, 10, 11)


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a graph says of a tensor. raw, packed: its elements, where they lie in the graph."""

    name: str
    kind: int
    shape: tuple[int, ...]
    raw: bytes
    packed: tuple[int, ...]

    def whole_numbers(self) -> tuple[int, ...]:
        """Return its elements, if they are few and int64; else nothing."""
        if self.packed:
            return self.packed
        return struct.unpack(f"<{len(self.raw) // 8}q", self.raw) if self.raw else ()


def read_tensor(view: memoryview, data: tuple[str, int]) -> Tensor:
    """Read a TensorProto. data: name and size of the one file that weights may lie in outside of the graph.

    Raises:
        MalformedError: it says of itself what cannot be.
    """
    found = grouped(view)
    shape = tuple(number(axis) for value in found.get(1, ()) for axis in varints(value))
    kind, name = number(found[2][-1]) if 2 in found else 0, last_text(found.get(8))
    tensor = Tensor(name, kind, shape, *_small(found, kind))
    size = _bytes(tensor)
    if found.get(14, [0])[-1] == _EXTERNAL:
        _check_there(tensor, size, dict(_pair(message(entry)) for entry in found.get(13, ())), data)
    else:
        _check_here(tensor, size, sum(_length(value) for field in _ELEMENTS for value in found.get(field, ())))
    return tensor


def _small(found: dict[int, list[Value]], kind: int) -> tuple[bytes, tuple[int, ...]]:
    """Return the elements of a few whole numbers, as raw bytes or one by one; of all else nothing."""
    raw, typed = found.get(9, ()), found.get(7, ())
    if kind != _INT64 or sum(map(_length, (*raw, *typed))) > 8 * _MOST_NUMBERS:
        return b"", ()
    content = bytes(message(raw[-1])) if raw else b""
    if len(content) % 8:
        raise MalformedError(f"a tensor of int64 has {len(content)} bytes")
    return content, tuple(number(one) for value in typed for one in varints(value))


def _length(value: Value) -> int:
    return 1 if isinstance(value, int) else len(value)


def _bytes(tensor: Tensor) -> int:
    """Return how many bytes its elements take; of texts, how many there are. Raises MalformedError."""
    if len(tensor.shape) > _MOST_AXES or any(axis < 0 for axis in tensor.shape):
        raise MalformedError(f"{_called(tensor)} has the shape {list(tensor.shape)[:_MOST_AXES]}")
    if tensor.kind == 8:
        return prod(tensor.shape)
    if tensor.kind not in _BITS:
        raise MalformedError(f"{_called(tensor)} is of the unknown type {tensor.kind}")
    return -(-prod(tensor.shape) * _BITS[tensor.kind] // 8)


def _check_here(tensor: Tensor, size: int, here: int) -> None:
    # As raw bytes they are as many; one by one, each takes a byte or more and is eight bytes at most.
    if size > 8 * here:
        raise MalformedError(f"{_called(tensor)} has the shape {list(tensor.shape)}, {size} bytes, and holds {here}")


def _check_there(tensor: Tensor, size: int, place: dict[str, str], data: tuple[str, int]) -> None:
    name, most = data
    location = place.get("location", "")
    if location != name or not most:
        allowed = f"{name} beside the graph" if most else "the graph itself, as no such file is listed"
        raise MalformedError(f"{_called(tensor)} lies in {location[:200]!r}; allowed: {allowed}")
    offset, length = (
        _whole(tensor, key, place.get(key, default)) for key, default in (("offset", "0"), ("length", str(size)))
    )
    if length != size or offset + length > most:
        raise MalformedError(
            f"{_called(tensor)} lies at {offset} with {length} bytes; it has {size}, and {name} {most}"
        )


def _whole(tensor: Tensor, key: str, given: str) -> int:
    if not (given.isascii() and given.isdecimal() and len(given) < 20):
        raise MalformedError(f"{_called(tensor)} has the {key} {given[:40]!r}; allowed: a whole number")
    return int(given)


def _pair(view: memoryview) -> tuple[str, str]:
    found = {field: text(value) for field, value in fields(view) if field in (1, 2)}
    return found.get(1, ""), found.get(2, "")


def _called(tensor: Tensor) -> str:
    return f"tensor {tensor.name[:80]!r}"
