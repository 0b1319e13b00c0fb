"""`unload`: let a version go."""

from __future__ import annotations

import argparse

from service.terminal.command import Command
from service.terminal.connection import Connection
from service.terminal.values import seconds


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help='"name@version"')
    parser.add_argument(
        "--drain", type=seconds, metavar="SECONDS", help="cut the streams that run after that; default: wait for them"
    )


async def _run(given: argparse.Namespace, there: Connection) -> int:
    async with there.client() as client:
        await client.unload(given.model, given.drain)
    return 0


COMMAND: Command = Command(
    name="unload",
    arguments="MODEL",
    about="let a version go; for admins",
    text="Serve a version no longer. Returns once its streams have ended and it is freed.",
    examples=("{prog} mine@1", "{prog} mine@1 --drain 30"),
    add=_add,
    run=_run,
)
