"""`completion`: a script that completes commands and flags in a shell."""

from __future__ import annotations

import argparse
from pathlib import Path

from service.terminal.command import Command
from service.terminal.connection import Connection
from service.terminal.extra import require
from service.terminal.values import certificate, file, source

_FILES = (Path, file, certificate, source)
_SHELLS = ("bash", "zsh", "tcsh")


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help="bash, zsh or tcsh")


async def _run(given: argparse.Namespace, _: Connection) -> int:
    require("shtab")
    import shtab

    _complete_files(given.whole)
    given.whole.prog = "seqstream"  # the one name that a shell can complete
    print(shtab.complete(given.whole, given.shell))
    return 0


def _complete_files(parser: argparse.ArgumentParser) -> None:
    """Have what stands for a file completed as one, in all commands."""
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for own in action.choices.values():
                _complete_files(own)
        elif action.type in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it


COMMAND: Command = Command(
    name="completion",
    arguments="SHELL",
    about="print what completes it in a shell",
    text="Print a script that completes commands, flags and files in a shell.",
    examples=(
        "source <({prog} bash)                   # in ~/.bashrc",
        "{prog} zsh > ~/.zfunc/_seqstream        # a folder of fpath",
    ),
    add=_add,
    run=_run,
    connects=False,
)
