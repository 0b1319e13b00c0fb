"""What a request asks for beside its prompt, as flags; options of the client by their names in the protocol."""

from __future__ import annotations

import argparse
from typing import cast

from service.wire.options import Options

_NUMBERS = (
    ("--temperature", float, "0 takes the likeliest token; default: 1"),
    ("--top-k", int, "keep the k likeliest tokens"),
    ("--top-p", float, "keep the likeliest tokens up to this probability"),
    ("--min-p", float, "keep tokens at least this fraction as probable as the likeliest"),
    ("--typical-p", float, "keep the most typical tokens up to this probability"),
    ("--repetition-penalty", float, "over 1 makes tokens that were there less likely"),
    ("--seed", int, "the same seed gives the same text; default: drawn by the server"),
)
_ENDS = (
    ("--max-new-tokens", int, "default: 256"),
    ("--min-new-tokens", int, "default: 0"),
)


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group("how tokens are drawn")
    for flag, kind, text in _NUMBERS:
        group.add_argument(flag, type=kind, metavar="N", help=text)
    group.add_argument("--n", type=int, dest="samples", metavar="N", help="samples of the prompt, up to 16; default: 1")
    group.add_argument(
        "--drafts", metavar="off|prompt|MODEL", help="what proposes tokens ahead; default: as the server is set"
    )
    ends = parser.add_argument_group("where it ends")
    for flag, kind, text in _ENDS:
        ends.add_argument(flag, type=kind, metavar="N", help=text)
    ends.add_argument(
        "--stop", action="append", dest="stop_strings", metavar="TEXT", help="end before this text; may be repeated"
    )
    ends.add_argument("--timeout", type=float, metavar="SECONDS", help="end after this time with what there is")


def options(given: argparse.Namespace) -> Options:
    """Return the options that were given."""
    names = Options.__annotations__
    return cast("Options", {name: value for name, value in vars(given).items() if name in names and value is not None})
