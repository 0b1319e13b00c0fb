"""The fields of a serialised protobuf message, one by one, without copying: for files too large to be parsed whole.

The encoding is that of https://protobuf.dev/programming-guides/encoding. Knows nothing about what a message means.
"""

from __future__ import annotations

from collections.abc import Iterator

Value = int | memoryview

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_MOST_SHIFT = 63


class MalformedError(ValueError):
    """These bytes are no message."""


def fields(content: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield the number and the value of every field: an unsigned number, or the bytes of all else.

    Raises:
        MalformedError: where the bytes end inside of a field, or begin none.
    """
    place, end = 0, len(content)
    while place < end:
        key, place = _varint(content, place)
        number, kind = key >> 3, key & 7
        if not number:
            raise MalformedError("a field has the number 0")
        if kind == _VARINT:
            value, place = _varint(content, place)
            yield number, value
            continue
        if kind == _BYTES:
            size, place = _varint(content, place)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise MalformedError(f"field {number} is of the unknown kind {kind}")
        if size > end - place:
            raise MalformedError(f"field {number} has {size} bytes, {end - place} are left")
        yield number, content[place : place + size]
        place += size


def grouped(content: memoryview) -> dict[int, list[Value]]:
    """Return the values of every field, in order, by its number. Raises MalformedError."""
    found: dict[int, list[Value]] = {}
    for number, value in fields(content):
        found.setdefault(number, []).append(value)
    return found


def varints(content: Value) -> Iterator[int]:
    """Yield the numbers of a repeated field, packed or one of them alone."""
    if isinstance(content, int):
        yield content
        return
    place = 0
    while place < len(content):
        value, place = _varint(content, place)
        yield value


def text(content: Value) -> str:
    """Return the text of a field. Raises MalformedError."""
    try:
        return bytes(message(content)).decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError("text is not UTF-8") from None


def message(content: Value) -> memoryview:
    """Return the bytes of a field that is a message or bytes. Raises MalformedError."""
    if isinstance(content, int):
        raise MalformedError("a number stands where a message belongs")
    return content


def last_text(values: list[Value] | None) -> str:
    """Return the text of a field that stands once; if it stands more often, the last counts. Raises MalformedError."""
    return text(values[-1]) if values else ""


def number(content: Value) -> int:
    """Return a signed 64-bit number. Raises MalformedError."""
    if not isinstance(content, int):
        raise MalformedError("bytes stand where a number belongs")
    return content - (1 << 64) if content >> 63 else content


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(content):
        byte = content[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFF_FFFF_FFFF_FFFF, place
        if (shift := shift + 7) > _MOST_SHIFT:
            break
    raise MalformedError("a number does not end")
