"""`tokenize`: the tokens of a text."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from service.terminal.command import Command
from service.terminal.connection import Connection


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help='"name" for its newest version, or "name@version"')
    parser.add_argument("text", metavar="TEXT", help="what to tokenize")
    parser.add_argument(
        "--vocabulary",
        choices=("source", "target"),
        help="of an encoder-decoder: source is what it reads, target what it writes; default: source",
    )
    parser.add_argument("--json", action="store_true", help="a list of objects")


async def _run(given: argparse.Namespace, there: Connection) -> int:
    async with there.client() as client:
        tokens = await client.tokenize(given.model, given.text, given.vocabulary)
    if given.json:
        print(json.dumps([asdict(token) for token in tokens], ensure_ascii=False, indent=2))
    else:
        for token in tokens:
            print(f"{token.id:7} {json.dumps(given.text[token.start : token.end], ensure_ascii=False)}")
    return 0


COMMAND: Command = Command(
    name="tokenize",
    arguments="MODEL TEXT",
    about="show the tokens of a text",
    text="Show the tokens of a text: their ids and the part of the text that each stands for.",
    examples=('{prog} stdlib "class Queue:"', "{prog} dates 1969-07-20 --vocabulary target"),
    add=_add,
    run=_run,
)
