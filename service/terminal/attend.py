"""`attend`: what a model looks at."""

from __future__ import annotations

import argparse
import json

from service.terminal.command import Command
from service.terminal.connection import Connection
from service.terminal.looking import add_picture, add_sequence, check_picture, sequence
from service.terminal.prompt import add_prompt
from service.terminal.values import index
from service.views import Attention, AttentionMap, Piece

_KINDS = ("encoder_self", "decoder_self", "cross")


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help='"name" for its newest version, or "name@version"')
    add_prompt(parser)
    add_sequence(parser)
    chosen = parser.add_argument_group("which maps", "Each may be given several times; by default all.")
    chosen.add_argument("--kind", action="append", choices=_KINDS, default=[], help="who looks at what")
    chosen.add_argument("--layer", action="append", type=index, metavar="N", default=[], help="counted from 0")
    chosen.add_argument("--head", action="append", type=index, metavar="N", default=[], help="counted from 0")
    chosen.add_argument("--mean", action="store_true", help="the mean of the heads, in place of each")
    add_picture(parser)


async def _run(given: argparse.Namespace, there: Connection) -> int:
    check_picture(given)
    async with there.client() as client:
        prompt, written = await sequence(given, client)
        seen = await client.attend(
            given.model,
            prompt,
            written,
            kinds=given.kind,
            layers=given.layer,
            heads=given.head,
            mean_of_heads=given.mean,
        )
    if given.png is not None:
        from service.heat import draw_attention

        draw_attention(seen, given.png)
    if given.json:
        print(json.dumps(_as_object(seen), ensure_ascii=False))
    elif given.png is None:
        _print(seen)
    return 0


def _print(seen: Attention) -> None:
    """Print of every map, for each piece, what it looks at most."""
    for each in seen.maps:
        head = "mean of heads" if each.head is None else f"head {each.head}"
        print(f"{each.kind}, layer {each.layer}, {head}")
        for row, weights in zip(each.rows, each.weights, strict=True):
            most = int(weights.argmax())
            print(f"  {shown(row):>14}  looks at {shown(each.columns[most])} ({weights[most]:.2f})")


def shown(piece: Piece) -> str:
    """Return a piece as it is printed: quoted text, or the name of a special token."""
    return piece.symbol if piece.special else json.dumps(piece.text, ensure_ascii=False)


def _as_object(seen: Attention) -> dict[str, object]:
    return {"model": seen.model, "maps": [_map_object(each) for each in seen.maps]}


def _map_object(each: AttentionMap) -> dict[str, object]:
    rows, columns = ([piece.name for piece in axis] for axis in (each.rows, each.columns))
    head = {} if each.head is None else {"head": each.head}
    return {"kind": each.kind, "layer": each.layer, **head, "rows": rows, "columns": columns,
            "weights": each.weights.tolist()}  # fmt: skip


COMMAND: Command = Command(
    name="attend",
    arguments="MODEL [PROMPT]",
    about="show what a model looks at",
    text="Show the attention of a model over a text: which tokens it looks at, by layer and head. The model has to be "
    "exported with --with-attention.",
    examples=(
        '{prog} dates "20. Juli 1969" --kind cross --mean',
        '{prog} dates "20. Juli 1969" --png map.png',
        '{prog} smollm2 "The cat sat on the mat" --layer 5 --png heads.png',
    ),
    add=_add,
    run=_run,
)
