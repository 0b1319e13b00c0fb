"""`completion`: a script that completes commands and flags in a shell."""

from __future__ import annotations

import argparse

from service.terminal.command import Command
from service.terminal.connection import Connection
from service.terminal.extra import require

_SHELLS = ("bash", "zsh", "tcsh")


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help="bash, zsh or tcsh")


async def _run(given: argparse.Namespace, _: Connection) -> int:
    require("shtab")
    import shtab

    given.whole.prog = "seqstream"  # the one name that a shell can complete
    print(shtab.complete(given.whole, given.shell))
    return 0


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
