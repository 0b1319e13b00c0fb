"""`models`: what a server serves."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from service.answers import Model
from service.terminal.command import Command
from service.terminal.connection import Connection
from service.terminal.extra import require

# Where nobody looks on, lines are as long as they are.
_WIDE = 500


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", metavar="MODEL", help='only "name", or "name@version"')
    parser.add_argument("--json", action="store_true", help="a list of objects")


async def _run(given: argparse.Namespace, there: Connection) -> int:
    async with there.client() as client:
        models = await client.models() if given.model is None else [await client.model(given.model)]
    show(models, as_json=given.json)
    return 0


def show(models: Sequence[Model], *, as_json: bool) -> None:
    """Print models, as a table or as JSON."""
    if as_json:
        print(json.dumps([asdict(model) for model in models], ensure_ascii=False, indent=2))
        return
    require("rich", "--json needs it not")
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False)
    for name in ("model", "family"):
        table.add_column(name, overflow="fold")
    for name in ("weights", "context"):
        table.add_column(name, justify="right")
    for name in ("on", "running", "state"):
        table.add_column(name)
    for model in models:
        table.add_row(*_row(model))
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)
    for model in models:
        if model.error:
            print(f"{model.reference}: {model.error}")


def _row(model: Model) -> tuple[str, ...]:
    if model.state != "READY":
        return (model.reference, "", "", "", "", "", model.state.lower())
    context = "any" if model.context_limit is None else f"{model.context_limit:,}"
    return (
        model.reference,
        model.family,
        f"{_rounded(model.parameters)} {model.precision}",
        context if model.source_limit is None else f"{model.source_limit:,} -> {context}",
        model.device,
        f"{model.running} of {model.rows}",
        f"ready, {model.waiting} wait" if model.waiting else "ready",
    )


def _rounded(number: int) -> str:
    """Return a number of weights as people say it: 135 M."""
    for power, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= power:
            return f"{number / power:.3g}{letter}"
    return str(number)


COMMAND: Command = Command(
    name="models",
    arguments="[MODEL]",
    about="list what is served",
    text="List every version of every model that a server serves, or that comes, goes or could not be loaded.",
    examples=("{prog}", "{prog} stdlib", "{prog} --json"),
    add=_add,
    run=_run,
)
