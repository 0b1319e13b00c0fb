"""Random messages of any type: every field, found by its descriptor, gets values at and beyond its limits.

Fields that are added to the protocol are covered by themselves. Everything follows from a `random.Random`, so that a
case can be made again from its seed. Knows nothing about servers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

_DEEPEST = 4
_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-8, 3.4e38, -3.4e38, float("inf"), float("-inf"), float("nan"), 100.5)
_TEXTS = (
    "", " ", "\0", "\n", "a", "é", "안녕", "🎉🚀", "\u202e", "\ufeff", "%s%n{0}{x}", "../../etc/passwd", "' OR 1=1--",
    "<eos>", "</s>", "<|im_end|>", "$(id)", "\x7f\x1b[31m", "e\u0301" * 9, "{{ 7 * 7 }}", "-1", "1e999", "nan",
)  # fmt: skip
_LONG = (255, 256, 257, 4096, 9000)
_WIDTHS = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(1 << 31), (1 << 31) - 1),
}


class Fields:
    """Fills messages. words: texts that mean something to the server, such as the names of its models."""

    def __init__(self, chance: random.Random, words: Sequence[str]) -> None:
        self._chance = chance
        self._words = words

    def message(self, descriptor: Descriptor) -> Message:
        """Return a message of which each field is set by chance."""
        message: Message = GetMessageClass(descriptor)()
        self._fill(message, self._chance.choice((0.1, 0.3, 0.7)), 0)
        return message

    def disturb(self, message: Message, times: int) -> None:
        """Change fields of `message`, or of the messages in it."""
        for _ in range(times):
            target, depth = message, 0
            while fields := _fields(target):
                field = self._chance.choice(fields)
                within = field.message_type is not None and not _is_repeated(field)
                if within and depth < _DEEPEST and self._chance.random() < 0.9:
                    target, depth = getattr(target, field.name), depth + 1
                    continue
                if self._chance.random() < 0.1:
                    target.ClearField(field.name)
                else:
                    self._set(target, field, depth)
                break

    def _fill(self, message: Message, share: float, depth: int) -> None:
        for field in _fields(message):
            if self._chance.random() < share:
                self._set(message, field, depth)

    def _set(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            key, value = inner.fields
            self._put(getattr(message, field.name), key, value, depth)
        elif _is_repeated(field):
            self._append(getattr(message, field.name), field, depth)
        elif inner is None:
            setattr(message, field.name, self._scalar(field))
        elif depth < _DEEPEST:
            target = getattr(message, field.name)
            target.SetInParent()
            self._fill(target, self._chance.choice((0.0, 0.3, 0.7)), depth + 1)

    def _put(self, target: Any, key: FieldDescriptor, value: FieldDescriptor, depth: int) -> None:  # noqa: ANN401
        for _ in range(self._count()):
            if value.message_type is None:
                target[self._scalar(key)] = self._scalar(value)
            else:
                self._fill(target[self._scalar(key)], 0.7, depth + 1)

    def _append(self, target: Any, field: FieldDescriptor, depth: int) -> None:  # noqa: ANN401 (a repeated field)
        for _ in range(self._count() if depth < _DEEPEST else 0):
            if field.message_type is None:
                target.append(self._scalar(field))
            else:
                self._fill(target.add(), 0.7, depth + 1)

    def _count(self) -> int:
        return self._chance.choice((0, 1, 1, 2, 3, 16, 17)) if self._chance.random() < 0.98 else 1025

    def _scalar(self, field: FieldDescriptor) -> Any:  # noqa: ANN401 (of the type of the field)
        kind = field.cpp_type
        make: dict[int, Callable[[], Any]] = {
            FieldDescriptor.CPPTYPE_BOOL: lambda: self._chance.random() < 0.5,
            FieldDescriptor.CPPTYPE_FLOAT: self._float,
            FieldDescriptor.CPPTYPE_DOUBLE: self._float,
        }
        if kind in make:
            return make[kind]()
        if kind == FieldDescriptor.CPPTYPE_STRING:
            text = self._text()
            return text if field.type == FieldDescriptor.TYPE_STRING else text.encode()
        return self._integer(*_WIDTHS[kind])

    def _float(self) -> float:
        return self._chance.choice(_FLOATS) if self._chance.random() < 0.5 else self._chance.uniform(-2, 2)

    def _integer(self, low: int, high: int) -> int:
        near = self._chance.choice((low, high, 0, 1, 2, 16, 17, 40, 64, 1024, 1025, 8193))
        value = near if self._chance.random() < 0.7 else self._chance.randint(low, high)
        return max(low, min(high, value))

    def _text(self) -> str:
        luck = self._chance.random()
        if luck < 0.4:
            return self._chance.choice(self._words)
        if luck < 0.95:
            return "".join(self._chance.choice(_TEXTS) for _ in range(self._chance.choice((1, 1, 2, 5))))
        return self._chance.choice(("a", "é", "🎉", "\n")) * self._chance.choice(_LONG)


def _fields(message: Message) -> list[FieldDescriptor]:
    return [cast("FieldDescriptor", field) for field in message.DESCRIPTOR.fields]


def _is_repeated(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated)
