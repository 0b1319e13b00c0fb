"""python -m training: train one family, compare them all, or look at gradients through time."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence

_USAGE = """usage: python -m training FAMILY [--help] ...
       python -m training compare|gradients [--help] ...

Train an autoregressive sequence model. Also under torchrun:
torchrun --nproc-per-node 2 -m training FAMILY ...
"""
_COMMANDS = {
    "compare": "train every language model on one corpus under one budget; a table and a picture",
    "gradients": "how far back recurrent networks learn: a picture of gradient norms against the lag",
}


def main(arguments: Sequence[str]) -> int:
    """Run one command. Returns the exit code; bad input is one line on standard error and 2."""
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print("python -m training: interrupted", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        line = " ".join(str(error).split())
        print(f"python -m training: {line}", file=sys.stderr)
        return 2


def _run(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage(), end="", file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    command, *rest = arguments
    if command == "compare":
        from training.compare import compare, read_comparison

        return compare(read_comparison(rest))
    if command == "gradients":
        from training.gradients import gradients, read_gradients

        return gradients(read_gradients(rest))
    from training.models.families import FAMILIES
    from training.order import read_order
    from training.train import train

    if command not in FAMILIES:
        raise ValueError(f"no family or command {command!r}; there are {', '.join([*FAMILIES, *_COMMANDS])}")
    return train(read_order(command, rest))


def _usage() -> str:
    from training.models.families import FAMILIES

    lines = [_USAGE, "families:"]
    for name, family in FAMILIES.items():
        first = (family.config.__doc__ or "").split("\n", maxsplit=1)[0]
        lines.append(_entry(name, first.partition(":")[2].strip() or first))
    lines += ["", "commands:", *(_entry(name, text) for name, text in _COMMANDS.items())]
    return "\n".join(lines) + "\n"


def _entry(name: str, text: str) -> str:
    return textwrap.fill(text, 80, initial_indent=f"  {name:16}", subsequent_indent=" " * 18)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
