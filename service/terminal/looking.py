"""What `attend` and `inspect` have in common: whose sequence is looked at, and where the picture goes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from service.client import Client
from service.terminal.extra import require
from service.terminal.prompt import prompt
from service.terminal.values import count
from service.wire.options import Prompt

_MOST_WRITTEN = 256


def add_sequence(parser: argparse.ArgumentParser) -> None:
    """Add what is read."""
    written = parser.add_mutually_exclusive_group()
    written.add_argument("--target", metavar="TEXT", help="what the model wrote, or might have written")
    written.add_argument(
        "--write",
        type=count,
        metavar="N",
        help="let the model write it, N tokens at most, taking the likeliest; default: to its end for a model that "
        "reads a source, nothing for others",
    )


def add_picture(parser: argparse.ArgumentParser) -> None:
    """Add what is printed, and what is drawn."""
    output = parser.add_argument_group("what comes out")
    output.add_argument("--png", type=Path, metavar="FILE", help="draw a picture")
    output.add_argument("--json", action="store_true", help="print every number, as one object")


def check_picture(given: argparse.Namespace) -> None:
    """Raise ValueError or OSError where the picture that is asked for cannot be drawn: before anything is asked."""
    if given.png is not None:
        require("matplotlib", "or --json prints the numbers")
        if not given.png.parent.is_dir():
            raise ValueError(f"--png: {given.png.parent}: no such folder")


async def sequence(given: argparse.Namespace, client: Client) -> tuple[Prompt, str | Sequence[int] | None]:
    """Return the prompt, and what stands behind it: a text, tokens that the model writes now, or nothing."""
    text = prompt(given)
    if given.target is not None:
        return text, str(given.target)
    most = given.write
    if most is None:
        if (await client.model(given.model)).source_limit is None:
            return text, None
        most = _MOST_WRITTEN
    written = await client.generate(given.model, text, temperature=0.0, max_new_tokens=most).result()
    return text, written.samples[0].token_ids
