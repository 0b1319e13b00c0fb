"""`health`: whether a server, or one of its models, serves."""

from __future__ import annotations

import argparse

from service.failures import NotFound
from service.terminal.command import Command
from service.terminal.connection import Connection


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", default="", metavar="MODEL", help="one model; default: the whole server")


async def _run(given: argparse.Namespace, there: Connection) -> int:
    async with there.client() as client:
        try:
            status = await client.health(given.model)
        except NotFound:  # the standard has no words for it
            status = (await client.model(given.model)).state
    print(status)
    return 0 if status == "SERVING" else 1


COMMAND: Command = Command(
    name="health",
    arguments="[MODEL]",
    about="ask whether it serves",
    text="Ask by grpc.health.v1 whether a server, or one of its models, serves. Exit code 0 if it does, 1 if not.",
    examples=("{prog}", "{prog} stdlib"),
    add=_add,
    run=_run,
)
