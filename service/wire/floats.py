"""Many floats as a packed field of a message, without a Python object for each.

A `repeated float` lies in a message as its key, its size and four little-endian bytes a number (protobuf.dev,
encoding).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

_LENGTH_DELIMITED = 2
_Message = TypeVar("_Message", bound=Message)


def with_floats(message: _Message, field: str, values: NDArray[np.float32]) -> _Message:
    """Return `message` with `values`, of any shape, in its packed field: row after row."""
    content = np.ascontiguousarray(values, "<f4").tobytes()
    number = message.DESCRIPTOR.fields_by_name[field].number
    message.MergeFromString(_varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content)
    return message


def _varint(value: int) -> bytes:
    """Return a number in groups of seven bits, the least significant first."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
