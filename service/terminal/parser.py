"""The parser of the command line, and what it says where the command line is wrong."""

from __future__ import annotations

import argparse
import difflib
import re
import textwrap
from collections.abc import Sequence
from importlib import metadata
from typing import Any, NoReturn

from service.terminal.command import Command, UsageError
from service.terminal.connection import add_connection

_EXIT_CODES = "exit codes: 0 done, 1 the call failed, 2 bad command line, 130 interrupted"

_WIDTH = 80


class Parser(argparse.ArgumentParser):
    """Tells what is wrong by an error instead of ending the program, and takes no abbreviations."""

    def __init__(self, **keywords: Any) -> None:  # noqa: ANN401 (they are those of argparse)
        """Take what argparse takes."""
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **keywords)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message}; see {self.prog} --help")


def read(program: str, commands: Sequence[Command], arguments: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    """Return the command and its arguments. Raises UsageError."""
    names = [command.name for command in commands]
    if not arguments:
        raise UsageError(f"give a command: {', '.join(names)}; see {program} --help")
    first = arguments[0]
    if not first.startswith("-") and first not in names:
        close = difflib.get_close_matches(first, names, 1)
        hint = f"did you mean {close[0]}?" if close else f"to generate: {program} generate {first} ..."
        raise UsageError(f"no command {first!r}; there are {', '.join(names)}; {hint}")
    parser = _whole(program, commands)
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        given.parser.error(_unknown(unknown[0], given.parser))
    return commands[names.index(given.command)], given


def _whole(program: str, commands: Sequence[Command]) -> Parser:
    """Return the parser of everything: what it reads has itself as `whole` and the command's own as `parser`."""
    epilog = f"{program} COMMAND --help tells more.\n{_EXIT_CODES}"
    usage = f"{program} COMMAND [ARGUMENT ...] [FLAG ...]"
    whole = Parser(prog=program, usage=usage, description="Call a seqstream server.", epilog=epilog)
    whole.add_argument("--version", action="version", version=_version())
    parsers = whole.add_subparsers(
        prog=program, dest="command", metavar="COMMAND [ARGUMENT ...]", required=True, title="commands"
    )
    for command in commands:
        prog = f"{program} {command.name}"
        examples = "\n".join(f"  {line.format(prog=prog)}" for line in command.examples)
        epilog = f"examples:\n{examples}\n\n{_EXIT_CODES}"
        own = parsers.add_parser(
            command.name,
            help=command.about,
            usage=f"{prog} {command.arguments} [FLAG ...]",
            description=textwrap.fill(command.text, _WIDTH),
            epilog=epilog,
        )
        command.add(own)
        if command.connects:
            add_connection(own)
        own.set_defaults(whole=whole, parser=own)
    return whole


def _unknown(argument: str, parser: Parser) -> str:
    """Return what to say of an argument that nobody knows."""
    flag = argument.partition("=")[0]
    if not flag.startswith("-"):
        return f"{argument!r} is one argument too many (quote what has spaces)"
    close = difflib.get_close_matches(flag, re.findall(r"--[a-z0-9-]+", parser.format_help()), 1)
    return f"no flag {flag}" + (f"; did you mean {close[0]}?" if close else "")


def _version() -> str:
    try:
        return f"seqstream {metadata.version('seqstream')}"
    except metadata.PackageNotFoundError:  # a folder of sources, as in the server's image
        return "seqstream, not installed as a package"
