"""`generate`: text from a model, as it comes."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from service.answers import Delta
from service.terminal.answer import alternatives, as_object, told
from service.terminal.batch import run_batch
from service.terminal.command import Command, UsageError
from service.terminal.connection import Connection
from service.terminal.prompt import add_prompt, prompt
from service.terminal.sampling import add_sampling, options
from service.terminal.values import count, source
from service.wire.continued import Generation
from service.wire.options import Options


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help='"name" for its newest version, or "name@version"')
    add_prompt(parser)
    add_sampling(parser)
    batch = parser.add_argument_group("many prompts, instead of one: docs/client.md tells what their lines are")
    batch.add_argument(
        "--jsonl", type=source, metavar="FILE", help='requests, a line of JSON each; "-": standard input'
    )
    batch.add_argument(
        "--out", type=Path, metavar="FILE", help="results in the same order; goes on where it was cut; default: printed"
    )
    batch.add_argument("--concurrency", type=count, default=32, metavar="N", help="requests at once; default: 32")
    output = parser.add_argument_group("what is printed")
    output.add_argument("--json", action="store_true", help="one object, once all has come")
    output.add_argument(
        "--logprobs",
        type=int,
        dest="alternatives",
        metavar="N",
        help="a line a token: its id, log-probability, text, and the N likeliest at its place (0 to 20)",
    )


async def _run(given: argparse.Namespace, there: Connection) -> int:
    asked = options(given)
    if given.alternatives is not None:
        asked.update(Options(logprobs=True, top_logprobs=given.alternatives, max_tokens_per_message=1))
    if given.jsonl is not None:
        _check_batch(given)
        return await run_batch(given, there, asked)
    if given.out is not None:
        raise UsageError("--out goes with --jsonl")
    text = prompt(given)
    async with there.client() as client:
        begun = time.monotonic()
        generation = client.generate(given.model, text, timeout=given.timeout, **asked)
        show = _scored if given.alternatives is not None else _text
        if given.json:
            result = as_object(await generation.result(), logprobs=given.alternatives is not None)
            print(json.dumps(result, ensure_ascii=False))
        elif asked.get("samples", 1) > 1:
            await _print_samples(generation, show)
        else:
            await _stream(generation, show, begun)
    return 0


def _check_batch(given: argparse.Namespace) -> None:
    for name in ("prompt", "messages", "system"):
        if getattr(given, name) is not None:
            raise UsageError(f"--jsonl stands instead of {'PROMPT' if name == 'prompt' else f'--{name}'}")
    if given.chat or given.json:
        raise UsageError(
            f"--jsonl goes without {'--chat' if given.chat else '--json'}: it is lines of JSON that it reads"
        )


async def _stream(generation: Generation, show: Callable[[Delta], str], begun: float) -> None:
    """Print one sample as it comes."""
    first = None
    async with generation:
        async for delta in generation:
            if first is None:
                first = time.monotonic() - begun
            print(show(delta), end="", flush=True)
    if show is _text:
        print(flush=True)
    for finished in generation.finished:
        print(told(finished, generation.started, first), file=sys.stderr)


async def _print_samples(generation: Generation, show: Callable[[Delta], str]) -> None:
    """Print several samples, one behind the other: as they come they would mix."""
    shown: defaultdict[int, str] = defaultdict(str)
    async for delta in generation:
        shown[delta.sample] += show(delta)
    for finished in generation.finished:
        print(f"--- sample {finished.sample}: {told(finished, generation.started, None)}")
        print(shown[finished.sample], end="" if show is _scored else "\n")


def _text(delta: Delta) -> str:
    return delta.text


def _scored(delta: Delta) -> str:
    """Return a line of a token; text that was held back until the end has one without a token."""
    text = json.dumps(delta.text, ensure_ascii=False)
    if not delta.logprobs:
        return f"{'':17}{text}\n"
    (token,) = delta.logprobs
    return f"{token.token_id:7} {token.logprob:8.3f} {text}{alternatives(token)}\n"


COMMAND: Command = Command(
    name="generate",
    arguments="MODEL [PROMPT]",
    about="generate text, from one prompt or from many",
    text="Stream a generation to the terminal. What it took is told on standard error.",
    examples=(
        '{prog} stdlib "class Queue:" --temperature 0.7',
        "git diff | {prog} smollm2 --chat --system 'Say what changed.'",
        '{prog} dates "20. Juli 1969" --json',
        "{prog} dates --jsonl in.jsonl --out out.jsonl --temperature 0",
    ),
    add=_add,
    run=_run,
)
