"""Manifests, tokenizers and templates that say what none should."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.reliability.damage import Change, sign
from bundle.folder import CHAT_TEMPLATE, MANIFEST, TOKENIZER

_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 3, (1 << 31) - 1, 1 << 31, 1 << 63, 1 << 64, 10**400, -(10**400), 1.5, -0.0, float("nan"),
    float("inf"), "", "x" * 100_000, "\ud800", "a\nb\r\0", "../../x", "1", [], {}, [[]], [1 << 62] * 9, [0], [-1],
    {"a": 1}, ["h0"] * 5000,
)  # fmt: skip
NAMES = (
    "../../../../etc/passwd", "/etc/passwd", "..", ".", "", "a/b", "step.onnx/../../x", "a\0b", "a\nb", "x" * 5000,
    "~root", "C:\\x", "\ud800", "bundle.json",
)  # fmt: skip
TEMPLATES = (
    "{% for", "{{" * 5000, "{% if 1 %}" * 3000, "{{ 10 ** 10 ** 10 }}", "{{ 'a' * 10 ** 12 }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{% include '/etc/passwd' %}", "{% extends '../x' %}", "\udcff",
    "{{ (" + "(" * 3000, "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "[" * 2_000_000,
)  # fmt: skip


def _text(content: bytes) -> Change:
    def text(folder: Path, _: random.Random) -> None:
        (folder / MANIFEST).write_bytes(content)

    return text


TEXTS: tuple[Change, ...] = tuple(
    map(_text, (
        b"", b"null", b"[]", b"[" * 100_000, b'{"a":' * 50_000, b"1" * 100_000, b"\xff\xfe{\0}\0", b"\xef\xbb\xbf{}",
        b"{}" + b" " * (2 << 20), b'{"format_version": 1e999}', b'{"format_version": 1, "format_version": 2}',
        b'{"format_version": ' + b"9" * 5000 + b"}", b"\0" * 4096,
    ))
)  # fmt: skip


def named(name: str) -> Change:
    """Return a change that lists a file of this name."""

    def name_file(folder: Path, _: random.Random) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["files"][name] = next(iter(manifest["files"].values()))
        (folder / MANIFEST).write_text(json.dumps(manifest))

    return name_file


def manifest_field(folder: Path, chance: random.Random) -> None:
    """Change something in the manifest."""
    _disturb(folder / MANIFEST, chance)


def tokenizer_field(folder: Path, chance: random.Random) -> None:
    """Change something in the tokenizer."""
    _disturb(folder / TOKENIZER, chance)
    sign(folder)


def _disturb(file: Path, chance: random.Random) -> None:
    """Put something hostile anywhere into a JSON file."""
    content: Any = json.loads(file.read_text())
    target: Any = content
    while True:
        keys = list(range(len(target))) if isinstance(target, list) else list(target)
        key = chance.choice(keys)
        if not isinstance(target[key], dict | list) or not target[key] or chance.random() < 0.2:
            break
        target = target[key]
    if chance.random() < 0.2:
        del target[key]
    else:
        target[key] = chance.choice(_VALUES)
    file.write_text(json.dumps(content))


def template(text: str) -> Change:
    """Return a change that adds a template."""

    def add_template(folder: Path, _: random.Random) -> None:
        (folder / CHAT_TEMPLATE).write_bytes(text.encode("utf-8", "surrogateescape"))
        sign(folder)

    return add_template


def _tokenizer(change: Callable[[dict[str, Any]], None]) -> Change:
    def tokenizer(folder: Path, _: random.Random) -> None:
        content = json.loads((folder / TOKENIZER).read_text())
        change(content)
        (folder / TOKENIZER).write_text(json.dumps(content))
        sign(folder)

    return tokenizer


def _enormous_vocabulary_id(content: dict[str, Any]) -> None:
    content["model"]["vocab"]["_evil"] = (1 << 32) - 1


def _no_vocabulary(content: dict[str, Any]) -> None:
    content["model"] = {"type": "WordLevel", "vocab": {}, "unk_token": "?"}
    content["added_tokens"] = []


def _no_model(content: dict[str, Any]) -> None:
    content["model"] = {"type": "NoSuch"}


TOKENIZERS = tuple(map(_tokenizer, (_enormous_vocabulary_id, _no_vocabulary, _no_model)))
