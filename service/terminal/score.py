"""`score`: how probable a continuation is."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict

from service.answers import Score, TextToken
from service.terminal.answer import alternatives
from service.terminal.command import Command
from service.terminal.connection import Connection


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help='"name" for its newest version, or "name@version"')
    parser.add_argument("prompt", metavar="PROMPT", help="what stands before; may be empty")
    parser.add_argument("continuation", metavar="CONTINUATION", help="what is scored")
    parser.add_argument(
        "--top",
        type=int,
        default=0,
        metavar="N",
        help="with the N likeliest tokens of each place, up to 20; default: 0",
    )
    parser.add_argument("--json", action="store_true", help="one object")


async def _run(given: argparse.Namespace, there: Connection) -> int:
    async with there.client() as client:
        score = await client.score(given.model, given.prompt, given.continuation, given.top)
        tokens = [] if given.json else await client.tokenize(score.model, given.continuation, "target")
    if given.json:
        print(json.dumps(asdict(score), ensure_ascii=False))
    else:
        _print(score, tokens, given.continuation)
    return 0


def _print(score: Score, tokens: list[TextToken], text: str) -> None:
    for one, token in zip(score.logprobs, tokens, strict=True):
        shown = json.dumps(text[token.start : token.end], ensure_ascii=False)
        print(f"{one.token_id:7} {one.logprob:8.3f} {shown}{alternatives(one)}")
    count = len(score.logprobs)
    mean = score.total_logprob / count
    print(f"{count} tokens, log-probability {score.total_logprob:.3f}, perplexity {math.exp(-mean):.2f} a token")


COMMAND: Command = Command(
    name="score",
    arguments="MODEL PROMPT CONTINUATION",
    about="tell how probable a continuation is",
    text="Tell the log-probability (natural logarithm) of every token of a continuation, and of the whole.",
    examples=('{prog} stdlib "def __init__" "(self):"', '{prog} dates "20. Juli 1969" 1969-07-20 --top 2'),
    add=_add,
    run=_run,
)
