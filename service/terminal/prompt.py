"""The prompt of one generation: an argument, standard input, or a conversation."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from service.terminal.command import UsageError
from service.terminal.values import file
from service.wire.options import Prompt


def add_prompt(parser: argparse.ArgumentParser) -> None:
    """Add the argument and its flags."""
    parser.add_argument(
        "prompt",
        nargs="?",
        metavar="PROMPT",
        help='what to continue, or to transform; "-" or nothing: standard input, without the newline at its end',
    )
    group = parser.add_argument_group("a conversation, for models with a chat template")
    group.add_argument("--chat", action="store_true", help="PROMPT is what the user says")
    group.add_argument("--system", metavar="TEXT", help="what the system says before; implies --chat")
    group.add_argument(
        "--messages",
        type=file,
        metavar="FILE",
        help='instead of PROMPT: JSON, [{"role": "user", "content": "Hi"}, ...]',
    )


def prompt(given: argparse.Namespace) -> Prompt:
    """Return the prompt. Raises ValueError."""
    if given.messages is not None:
        if given.prompt is not None or given.system is not None:
            raise UsageError("--messages stands instead of PROMPT and --system")
        return messages(_parsed(given.messages), str(given.messages))
    text = _from_stdin() if given.prompt in (None, "-") else str(given.prompt)
    if not given.chat and given.system is None:
        return text
    system = [] if given.system is None else [{"role": "system", "content": given.system}]
    return [*system, {"role": "user", "content": text}]


def messages(found: object, where: str) -> list[dict[str, str]]:
    """Return the turns of a conversation in JSON. Raises ValueError, which begins with `where`."""
    allowed = 'allowed: a list of one or more {"role": "...", "content": "..."}'
    if not isinstance(found, list) or not found:
        raise ValueError(f"{where}: not a conversation; {allowed}")
    for turn in found:
        texts = isinstance(turn, dict) and all(isinstance(value, str) for value in turn.values())
        if not texts or turn.keys() != {"role", "content"}:
            raise ValueError(f"{where}: not a turn of a conversation: {json.dumps(turn)[:100]}; {allowed}")
    return found


def _parsed(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None


def _from_stdin() -> str:
    if sys.stdin.isatty():
        print("the prompt, ended by Ctrl-D on a line of its own:", file=sys.stderr)
    try:
        return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"standard input is not UTF-8: byte {error.start}") from None
