"""`load`: have a version served."""

from __future__ import annotations

import argparse

from service.terminal.command import Command
from service.terminal.connection import Connection
from service.terminal.models import show


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help='"name@version", or "name" for the newest version in the folder')
    parser.add_argument("--json", action="store_true", help="a list of one object, as by models --json")


async def _run(given: argparse.Namespace, there: Connection) -> int:
    async with there.client() as client:
        show([await client.load(given.model)], as_json=given.json)
    return 0


COMMAND: Command = Command(
    name="load",
    arguments="MODEL",
    about="have a version served; for admins",
    text="Have a version from the server's folder of models served. Returns once it is.",
    examples=("{prog} mine", "{prog} mine@2"),
    add=_add,
    run=_run,
)
