"""`bench`: load a server and tell what its callers see. The flags; benching.py does it."""

from __future__ import annotations

import argparse
from pathlib import Path

from service.terminal.command import Command
from service.terminal.connection import Connection
from service.terminal.values import count, counts, file, index, positive, positives, seconds


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help='"name" for its newest version, or "name@version"')
    load = parser.add_argument_group("the load, one level after the other").add_mutually_exclusive_group(required=True)
    load.add_argument(
        "--rate",
        type=positives,
        metavar="N,...",
        help="open loop: requests a second that arrive by chance (Poisson), whether others have been answered or not",
    )
    load.add_argument(
        "--streams", type=counts, metavar="N,...", help="closed loop: streams at all times, each followed by the next"
    )
    length = parser.add_argument_group("how long each level is counted")
    length.add_argument("--duration", type=positive, metavar="SECONDS", help="default: 30")
    length.add_argument("--requests", type=count, metavar="N", help="until so many requests instead")
    length.add_argument(
        "--warm-up", type=seconds, default=5.0, metavar="SECONDS", help="the same load before that; default: 5"
    )
    asked = parser.add_argument_group(
        "what is asked for", "DIST is a length in tokens: N, uniform:LEAST:MOST, or lognormal:MEDIAN:SIGMA."
    )
    asked.add_argument("--prompt-tokens", metavar="DIST", help="of random tokens; default: uniform:16:128")
    asked.add_argument("--output-tokens", metavar="DIST", help="exactly so many; default: uniform:32:128")
    asked.add_argument(
        "--prompts", type=file, metavar="FILE", help="instead: requests in lines of JSON, as for generate --jsonl"
    )
    asked.add_argument(
        "--timeout", type=positive, default=60.0, metavar="SECONDS", help="a request fails after that; default: 60"
    )
    asked.add_argument("--seed", type=index, default=0, metavar="N", help="of arrivals and lengths; default: 0")
    judged = parser.add_argument_group("which requests are good: those that keep both")
    judged.add_argument("--slo-ttft-ms", type=positive, metavar="MS", help="time to the first token")
    judged.add_argument("--slo-itl-ms", type=positive, metavar="MS", help="from token to token, mean of the request")
    client = parser.add_argument_group("the client")
    client.add_argument(
        "--processes", type=count, default=1, metavar="N", help="that send; more where one core is too little"
    )
    client.add_argument("--connections", type=count, metavar="N", help="of each process; default: as streams need")
    output = parser.add_argument_group("what comes of it, beside the tables")
    output.add_argument("--json", type=Path, metavar="FILE", help='all figures, for programs; "-": instead of tables')
    output.add_argument("--png", type=Path, metavar="FILE", help="a picture: tokens a second against latencies")


async def _run(given: argparse.Namespace, there: Connection) -> int:
    from service.terminal.benching import run  # what it needs takes long to import

    return await run(given, there)


COMMAND: Command = Command(
    name="bench",
    arguments="MODEL",
    about="load a server, and measure what its callers see",
    text=(
        "Send requests at a rate, or so many streams at a time, and measure what comes back. Latencies count from when "
        "a request was to be sent, so a client or a server that falls behind does not hide it."
    ),
    examples=(
        "{prog} stdlib --rate 5,10,20,40 --png load.png",
        "{prog} stdlib --streams 1,8,32 --duration 10",
        "{prog} stdlib --rate 20 --slo-ttft-ms 200 --slo-itl-ms 20",
        "{prog} stdlib --rate 20 --output-tokens lognormal:100:0.8",
    ),
    add=_add,
    run=_run,
)
