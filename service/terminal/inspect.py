"""`inspect`: what a model keeps while it reads."""

from __future__ import annotations

import argparse
import json

from service.terminal.attend import shown
from service.terminal.command import Command
from service.terminal.connection import Connection
from service.terminal.looking import add_picture, add_sequence, check_picture, sequence
from service.terminal.prompt import add_prompt
from service.terminal.values import count, index
from service.views import Activation, Activations


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help='"name" for its newest version, or "name@version"')
    add_prompt(parser)
    add_sequence(parser)
    chosen = parser.add_argument_group("which activations", "The first two may be given several times; by default all.")
    chosen.add_argument("--name", action="append", metavar="NAME", default=[], help="such as forget_gate or hidden")
    chosen.add_argument("--layer", action="append", type=index, metavar="N", default=[], help="counted from 0")
    chosen.add_argument("--units", type=count, metavar="N", help="of each, evenly spaced; default: 64")
    add_picture(parser)


async def _run(given: argparse.Namespace, there: Connection) -> int:
    check_picture(given)
    units = {} if given.units is None else {"max_units": given.units}
    async with there.client() as client:
        prompt, written = await sequence(given, client)
        seen = await client.inspect(given.model, prompt, written, names=given.name, layers=given.layer, **units)
    if given.png is not None:
        from service.heat import draw_activations

        draw_activations(seen, given.png)
    if given.json:
        print(json.dumps(_as_object(seen), ensure_ascii=False))
    elif given.png is None:
        _print(seen)
    return 0


def _print(seen: Activations) -> None:
    """Print of every activation, for each piece, the mean and the range over the units."""
    for each in seen.activations:
        print(f"{each.name}, {each.part}, layer {each.layer}: {len(each.units)} of {each.total_units} units")
        for piece, values in zip(each.times, each.values, strict=True):
            print(f"  {shown(piece):>14}  mean {values.mean():6.3f}, from {values.min():6.3f} to {values.max():6.3f}")


def _as_object(seen: Activations) -> dict[str, object]:
    return {"model": seen.model, "activations": [_activation_object(each) for each in seen.activations]}


def _activation_object(each: Activation) -> dict[str, object]:
    return {
        "name": each.name,
        "part": each.part,
        "layer": each.layer,
        "times": [piece.name for piece in each.times],
        "units": each.units,
        "total_units": each.total_units,
        "values": each.values.tolist(),
    }


COMMAND: Command = Command(
    name="inspect",
    arguments="MODEL [PROMPT]",
    about="show what a model keeps while it reads",
    text="Show the gates and the states of a model over a text, token by token. The model has to be exported with "
    "--with-attention.",
    examples=(
        '{prog} stdlib "class Queue:" --name update_gate',
        '{prog} stdlib "class Queue:" --png gates.png',
    ),
    add=_add,
    run=_run,
)
