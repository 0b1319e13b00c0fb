"""What a command of the command line is."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from service.terminal.connection import Connection


class UsageError(ValueError):
    """The command line asks for what cannot be."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    arguments: those that are no flags, for its --help.
    about: a line for the list of commands.
    text: what its --help begins with.
    examples: lines for the end of its --help; {prog} stands for program and command.
    add: puts its arguments into its parser; those of the connection come behind them.
    run: runs it and returns the exit code. It may raise ClientError (exit code 1), ValueError and OSError (2), each of
        which is told in one line.
    connects: whether it calls a server at all.
    """

    name: str
    arguments: str
    about: str
    text: str
    examples: tuple[str, ...]
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Connection], Coroutine[None, None, int]]
    connects: bool = True
