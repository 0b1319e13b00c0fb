"""The reference of the protocol, made of the comments in the .proto files: every service, message, field and value.

`python -m docs.site.protocol` prints it. Knows nothing about the site.
"""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

# Numbers of fields in descriptor.proto: a comment's path leads through them.
_MESSAGES, _ENUMS, _SERVICES, _SYNTAX = 4, 5, 6, 12
_FIELDS, _NESTED, _ONEOFS = 2, 3, 8
_METHODS, _VALUES = 2, 2

Path_ = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A .proto file: what it declares, its comments by path, and the pages on which its types and others' stand."""

    file: FileDescriptorProto
    comments: dict[Path_, str]
    types: dict[str, str]  # full name -> path of the .proto file


def pages(root: Path) -> dict[str, str]:
    """Return the reference, as Markdown, of every .proto file under `root`/protos, by its path in the project."""
    names = sorted(str(path.relative_to(root)) for path in (root / "protos").rglob("*.proto"))
    described = _describe(root, names)
    types = {f".{file.package}.{name}": file.name for file in described.file for name in _declared(file)}
    made = (file for file in described.file if file.name in names)
    return {file.name: _reference(Source(file, _comments(file), types)) for file in made}


def _describe(root: Path, names: list[str]) -> FileDescriptorSet:
    described = FileDescriptorSet()
    well_known = files("grpc_tools") / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "protos.binpb"
        options = ["--include_source_info", "--include_imports", f"--descriptor_set_out={out}"]
        if protoc.main(["protoc", f"-I{root}", f"-I{well_known}", *options, *names]):
            raise ValueError(f"protoc did not understand {', '.join(names)}")
        described.ParseFromString(out.read_bytes())
    return described


def _declared(file: FileDescriptorProto) -> list[str]:
    return [message.name for message in file.message_type] + [enum.name for enum in file.enum_type]


def _comments(file: FileDescriptorProto) -> dict[Path_, str]:
    found = {}
    for location in file.source_code_info.location:
        detached = location.leading_detached_comments if tuple(location.path) == (_SYNTAX,) else ()
        text = "\n".join((*detached, location.leading_comments or location.trailing_comments))
        lines = [line.removeprefix(" ").rstrip() for line in text.splitlines()]
        if any(lines):
            found[tuple(location.path)] = "\n".join(lines).strip()
    return found


def _reference(source: Source) -> str:
    file = source.file
    parts = [f"# {file.name.removeprefix('protos/')}", f"Package `{file.package}`."]
    if head := source.comments.get((_SYNTAX,)):
        parts.append(f"```text\n{head}\n```")
    for index, service in enumerate(file.service):
        parts += _service(source, (_SERVICES, index), service)
    if file.message_type:
        parts.append("## Messages")
    for index, message in enumerate(file.message_type):
        parts += _message(source, (_MESSAGES, index), message, message.name)
    if file.enum_type:
        parts.append("## Enumerations")
    for index, enum in enumerate(file.enum_type):
        parts += _enumeration(source, (_ENUMS, index), enum, enum.name)
    return "\n\n".join(parts) + "\n"


def _service(source: Source, path: Path_, service: ServiceDescriptorProto) -> list[str]:
    parts = [f"## {service.name} {{#{service.name}}}", _prose(source, path)]
    for index, method in enumerate(service.method):
        asked = f"{'stream ' * method.client_streaming}{_type(source, method.input_type)}"
        answered = f"{'stream ' * method.server_streaming}{_type(source, method.output_type)}"
        parts.append(f"### {method.name} {{#{service.name}.{method.name}}}")
        parts += [f"{asked} → {answered}", _prose(source, (*path, _METHODS, index))]
    return parts


def _message(source: Source, path: Path_, message: DescriptorProto, name: str) -> list[str]:
    entries = {f".{source.file.package}.{name}.{nested.name}": nested for nested in message.nested_type}
    parts = [f"### {name} {{#{name}}}", _prose(source, path)]
    parts += [
        f"One of `{oneof.name}`: {_line(source, (*path, _ONEOFS, index))}"
        for index, oneof in enumerate(message.oneof_decl)
        if not any(field.proto3_optional and field.oneof_index == index for field in message.field)
    ]
    rows = []
    for index, field in enumerate(message.field):
        of = message.oneof_decl[field.oneof_index].name if _chosen(field) else ""
        kind = _field_type(source, field, entries) + (f"<br>one of `{of}`" if of else "")
        rows.append(f"| {field.number} | `{field.name}` | {kind} | {_line(source, (*path, _FIELDS, index))} |")
    if rows:
        parts.append("\n".join(("| | field | type | |", "| --: | --- | --- | --- |", *rows)))
    for index, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            parts += _message(source, (*path, _NESTED, index), nested, f"{name}.{nested.name}")
    for index, enum in enumerate(message.enum_type):
        parts += _enumeration(source, (*path, 4, index), enum, f"{name}.{enum.name}")
    return parts


def _enumeration(source: Source, path: Path_, enum: EnumDescriptorProto, name: str) -> list[str]:
    rows = [
        f"| {value.number} | `{value.name}` | {_line(source, (*path, _VALUES, index))} |"
        for index, value in enumerate(enum.value)
    ]
    table = "\n".join(("| | value | |", "| --: | --- | --- |", *rows))
    return [f"### {name} {{#{name}}}", _prose(source, path), table]


def _chosen(field: FieldDescriptorProto) -> bool:
    return field.HasField("oneof_index") and not field.proto3_optional


def _field_type(source: Source, field: FieldDescriptorProto, entries: dict[str, DescriptorProto]) -> str:
    entry = entries.get(field.type_name)
    if entry is not None and entry.options.map_entry:
        key, value = (_field_type(source, part, {}) for part in entry.field)
        return f"map of {key} to {value}"
    word = "repeated " if field.label == FieldDescriptorProto.LABEL_REPEATED else ""
    word = "optional " if field.proto3_optional else word
    return word + _type(source, field.type_name or FieldDescriptorProto.Type.Name(field.type))


def _type(source: Source, name: str) -> str:
    """Return the name of a type, linked if it is one of ours: ".seqstream.v1.Model" or "TYPE_UINT32"."""
    if name.startswith("TYPE_"):
        return f"`{name.removeprefix('TYPE_').lower()}`"
    short = name.removeprefix(f".{source.file.package}.").removeprefix(".")
    target = source.types.get(name, "")
    if not target.startswith("protos/"):
        return f"`{short}`"
    page = "" if target == source.file.name else f"{'../' * source.file.name.count('/')}{target}"
    return f"[{short}]({page}#{short})"


def _prose(source: Source, path: Path_) -> str:
    return _escaped(source.comments.get(path, ""))


def _line(source: Source, path: Path_) -> str:
    return re.sub(r"\s*\n\s*", " ", _prose(source, path)).replace("|", r"\|")


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_<$\[\]])", r"\\\1", text)


if __name__ == "__main__":
    sys.stdout.write("\n".join(pages(Path(__file__).parents[2]).values()))
