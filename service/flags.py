"""The flags of `python -m service`, as people read them: what pydantic-settings makes of fields, in plainer words."""

from __future__ import annotations

import argparse
import difflib
import re
import textwrap
from typing import NoReturn

_KINDS = {"int": "N", "float": "X", "Path": "PATH", "str": "TEXT"}
_END = """\
examples:
  python -m service --models models/
  python -m service --models models/ --port 0 --rows 8 --metrics-port 9464
  SEQSTREAM_ROWS=8 python -m service --config server.toml

exit codes: 0 ended by a signal, 1 a model failed, 2 it could not start"""


class Flags(argparse.ArgumentParser):
    """A parser that raises ValueError with one line where argparse ends the program."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(
            prog=prog,
            usage=f"{prog} --models FOLDER [FLAG ...]",
            description=textwrap.fill(description, 80),
            epilog=_END,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise ValueError."""
        unknown = message.removeprefix("unrecognized arguments: ").split()
        if unknown and not message.startswith(unknown[0]):
            known = re.findall(r"--[a-z-]+", self.format_help())
            close = difflib.get_close_matches(unknown[0].partition("=")[0], known, 1)
            message = (f"no flag {unknown[0]}" if unknown[0].startswith("-") else f"{unknown[0]!r} is no flag") + (
                f"; did you mean {close[0]}?" if close else ""
            )
        raise ValueError(f"{message}; see {self.prog} --help")


def add_flag(parser: argparse.ArgumentParser, *flags: str, **keywords: object) -> argparse.Action:
    """Add a flag, its kind and its default in plain words."""
    if isinstance(kind := keywords.get("metavar"), str):
        keywords["metavar"] = _KINDS.get(kind, kind)
    if isinstance(text := keywords.get("help"), str):
        keywords["help"] = re.sub(r" \(default: null\)", "", re.sub(r"\.0\)$", ")", text))
    return parser.add_argument(*flags, **keywords)  # type: ignore[arg-type]
