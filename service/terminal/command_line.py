"""`seqstream`, or `python -m service.client`: finds the command, runs it, and tells errors in one line."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from service.failures import ClientError
from service.terminal import (
    attend,
    bench,
    completion,
    generate,
    health,
    inspect,
    load,
    models,
    score,
    tokenize,
    unload,
)
from service.terminal.command import Command
from service.terminal.connection import Connection, connection
from service.terminal.explain import explain
from service.terminal.parser import read

DONE, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130

COMMANDS: tuple[Command, ...] = (
    generate.COMMAND,
    score.COMMAND,
    tokenize.COMMAND,
    attend.COMMAND,
    inspect.COMMAND,
    models.COMMAND,
    load.COMMAND,
    unload.COMMAND,
    health.COMMAND,
    bench.COMMAND,
    completion.COMMAND,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code: see --help."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    program = "seqstream" if Path(sys.argv[0]).stem == "seqstream" else "python -m service.client"
    there = Connection("")
    try:
        command, given = read(program, COMMANDS, sys.argv[1:] if arguments is None else arguments)
        if command.connects:
            there = connection(given)
        code = asyncio.run(command.run(given, there))
        sys.stdout.flush()
    except ClientError as error:
        return _fail(explain(error, there), FAILED)
    except BrokenPipeError:  # whoever reads has seen enough; Python would complain again when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ValueError, OSError) as error:
        return _fail(str(error), BAD_USAGE)
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _fail(line: str, code: int) -> int:
    print(f"error: {' '.join(line.split())}", file=sys.stderr)
    return code
