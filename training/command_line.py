"""Flags, environment and configuration file, made from the fields of settings classes.

A field `hidden_size` is the flag --hidden-size, the variable SEQSTREAM_HIDDEN_SIZE and the key hidden_size of the TOML
file named by --config; flags win over the environment, that over the file, that over defaults. Every value passes
through the class it belongs to. Knows nothing about what the settings mean.
"""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

PREFIX = "SEQSTREAM_"
Fields = Mapping[str, FieldInfo]
Values = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)


def build_parser(program: str, description: str, groups: Mapping[str, Fields]) -> argparse.ArgumentParser:
    """Make a parser with one flag for each field, under headings, but for those whose schema says `flag: false`.

    It does not convert: what it returns are the flags that were given, as text.
    """
    usage = f"{program} [--flag VALUE ...]"
    parser = _Parser(prog=program, usage=usage, description=description, allow_abbrev=False, formatter_class=_Formatter)
    parser.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="TOML file with any of these keys")
    for heading, fields in groups.items():
        group = parser.add_argument_group(heading)
        for name, field in fields.items():
            if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("flag") is False:
                continue
            _add_flag(group, name, field)
    return parser


def gather(flags: Values, groups: Mapping[str, Fields]) -> Values:
    """Return the values of all fields that were set anywhere, the configuration file (flag `config`) included.

    Raises:
        ValueError: the file cannot be read, or has a key that is no field.
    """
    names = {name for fields in groups.values() for name in fields}
    values = _read_file(Path(flags["config"]), names) if "config" in flags else {}
    values |= {name: os.environ[PREFIX + name.upper()] for name in sorted(names) if PREFIX + name.upper() in os.environ}
    return values | {name: value for name, value in flags.items() if name != "config"}


def settle(settings: type[Model], values: Values) -> Model:
    """Make the settings of one class out of what was set.

    Raises:
        ValueError: one line that names the flag, what is wrong and what was given.
    """
    own = {name: value for name, value in values.items() if name in settings.model_fields}
    try:
        return settings.model_validate(own)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:
            raise ValueError(message) from None
        raise ValueError(f"{flag(str(first['loc'][0]))}: {message} ({first['input']!r} given)") from None


def flag(name: str) -> str:
    """Return the flag of a field."""
    return "--" + name.replace("_", "-")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see {self.prog} --help")


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=110)


def _add_flag(group: argparse._ArgumentGroup, name: str, field: FieldInfo) -> None:
    default = field.get_default(call_default_factory=True)
    shown = "" if default is None or field.is_required() or default is False else f" [{_written(default)}]"
    text = (field.description or "").replace("%", "%%") + shown
    if field.annotation is bool:
        action: type[argparse.Action] | str = argparse.BooleanOptionalAction if default else "store_true"
        group.add_argument(flag(name), dest=name, action=action, default=argparse.SUPPRESS, help=text)
    else:
        group.add_argument(flag(name), dest=name, metavar=_metavar(field), default=argparse.SUPPRESS, help=text)


def _written(default: object) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    return f"{default:g}" if isinstance(default, float) else str(default)


def _metavar(field: FieldInfo) -> str:
    annotation = field.annotation
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(part for part in get_args(annotation) if part is not NoneType)
    while get_origin(annotation) is not Literal and get_args(annotation):
        annotation = get_args(annotation)[0]  # Annotated[int, …] is an int
    if get_origin(annotation) is Literal:
        return "|".join(map(str, get_args(annotation)))
    words: dict[object, str] = {int: "N", float: "X", Path: "FOLDER"}
    return words.get(annotation, "SOURCE")


def _read_file(path: Path, names: set[str]) -> Values:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"--config: {path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"--config: {path}: not TOML: {error}") from None
    values = {key.replace("-", "_"): value for key, value in values.items()}
    if unknown := sorted(values.keys() - names):
        raise ValueError(f"--config: {path}: {unknown[0]} is not a setting of this command")
    return values
