"""`python -m service.client`: a generation in the terminal, as it comes. Knows nothing about gRPC."""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
import time
from pathlib import Path
from typing import Any

from service.answers import Model
from service.client import Client, token_in, trusting
from service.failures import ClientError, InvalidArgument, Unavailable
from service.retry import Retry

# The variable that holds a token. There is no flag for it: flags are in process listings and in the shell's history.
TOKEN = "SEQSTREAM_TOKEN"
# Somebody looks on: a server that is not there is told after about three seconds.
_RETRY = Retry(attempts=6)


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns its exit code: 0, 1 for an error of the call, 2 for one of the command line."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    address = given.pop("address")
    about_models = {name: given.pop(name) for name in ("list", "load", "unload")}
    if not any(about_models.values()) and given["prompt"] is None:
        parser.error("give MODEL and PROMPT, or --list, --load or --unload")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        client = _client(address, given)
        if any(about_models.values()):
            asyncio.run(_tend(client, **about_models))
        else:
            asyncio.run(_generate(client, {name: value for name, value in given.items() if value is not None}))
    except (ClientError, ValueError) as error:
        print(f"error: {_message(error, address)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads has seen enough; Python would complain again when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m service.client", description="Stream a generation to the terminal.", argument_default=None
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help='"name" for its newest version, or "name@version"')
    parser.add_argument("prompt", nargs="?", metavar="PROMPT", help="what to continue, or to transform")
    parser.add_argument("--address", default="localhost:50051", metavar="HOST:PORT", help="default: localhost:50051")
    parser.add_argument(
        "--tls-ca",
        type=_file,
        metavar="FILE",
        help="TLS, with the certificate that vouches for the server (PEM)",
    )
    parser.add_argument(
        "--tls-cert", type=_file, metavar="FILE", help="certificate to show to the server (PEM), with --tls-key"
    )
    parser.add_argument("--tls-key", type=_file, metavar="FILE", help="its key (PEM)")
    parser.add_argument(
        "--token-file", type=_file, metavar="FILE", help=f"file of the token to show; default: the token in {TOKEN}"
    )
    parser.add_argument("--tenant", metavar="NAME", help="for whom the call is; for admins, or where nobody is asked")
    parser.add_argument("--list", action="store_true", help="list the models and exit")
    parser.add_argument(
        "--load", metavar="MODEL", help='serve "name@version", or the newest version of "name", and exit; for admins'
    )
    parser.add_argument(
        "--unload", metavar="MODEL", help='let "name@version" go once its streams have ended, and exit; for admins'
    )
    numbers = (
        ("--temperature", float, "0 takes the likeliest token; default: 1"),
        ("--top-k", int, "keep the k likeliest tokens"),
        ("--top-p", float, "keep the likeliest tokens up to this probability"),
        ("--min-p", float, "keep tokens at least this fraction as probable as the likeliest"),
        ("--typical-p", float, "keep the most typical tokens up to this probability"),
        ("--repetition-penalty", float, "over 1 makes tokens that were there less likely"),
        ("--max-new-tokens", int, "default: 256"),
        ("--min-new-tokens", int, "default: 0"),
        ("--seed", int, "the same seed gives the same text; default: drawn by the server"),
        ("--timeout", float, "seconds after which it ends with what there is"),
    )
    for flag, kind, text in numbers:
        parser.add_argument(flag, type=kind, metavar="N", help=text)
    parser.add_argument(
        "--drafts", metavar="off|prompt|MODEL", help="what proposes tokens ahead; default: as the server is set"
    )
    parser.add_argument(
        "--stop", action="append", dest="stop_strings", metavar="TEXT", help="end before this text; may be repeated"
    )
    return parser


def _file(path: str) -> Path:
    try:
        Path(path).open("rb").close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror}") from None
    return Path(path)


def _client(address: str, given: dict[str, Any]) -> Client:
    """Take what a connection needs out of `given` and return its client. Raises ValueError."""
    authority, certificate, key = (given.pop(name) for name in ("tls_ca", "tls_cert", "tls_key"))
    if (certificate is None) != (key is None) or (certificate is not None and authority is None):
        raise ValueError("--tls-cert and --tls-key go together, and with --tls-ca")
    credentials = None if authority is None else trusting(authority, certificate, key)
    file, tenant = given.pop("token_file"), given.pop("tenant")
    token = (os.environ.get(TOKEN) or None) if file is None else token_in(file)
    return Client(address, _RETRY, credentials=credentials, token=token, tenant=tenant)


async def _tend(client: Client, load: str | None, unload: str | None, *, list: bool) -> None:
    async with client:
        if load:
            print(_describe(await client.load(load)))
        if unload:
            await client.unload(unload)
        for model in await client.models() if list else ():
            print(_describe(model))


async def _generate(client: Client, given: dict[str, Any]) -> None:
    begun, first, tokens = time.monotonic(), None, 0
    async with client, client.generate(**given) as generation:
        async for delta in generation:
            if first is None:
                first = time.monotonic()
            tokens += len(delta.token_ids)
            print(delta.text, end="", flush=True)
    now = time.monotonic()
    print(flush=True)
    for finished in generation.finished:
        speed = (tokens - 1) / (now - first) if first is not None and now > first and tokens > 1 else 0.0
        waited = 0.0 if first is None else first - begun
        seed = "" if generation.started is None else f", seed {generation.started.seed}"
        reason = finished.reason.lower().replace("_", " ")
        drafted, accepted = finished.drafted_tokens, finished.accepted_tokens
        drafts = f", {accepted} of {drafted} drafted tokens taken" if drafted else ""
        stats = f"{tokens} tokens, {speed:.0f} tokens/s, first after {1e3 * waited:.0f} ms, {reason}{seed}{drafts}"
        print(stats, file=sys.stderr)


def _message(error: Exception, address: str) -> str:
    if isinstance(error, Unavailable):
        return f"no answer from {address}: {error}"
    if isinstance(error, InvalidArgument) and error.violations:
        return "; ".join(f"{violation.field} {violation.description}" for violation in error.violations)
    return str(error)


def _describe(model: Model) -> str:
    if model.state != "READY":
        return f"{model.name}@{model.version}: {model.state.lower()}" + (f": {model.error}" if model.error else "")
    context = "any length" if model.context_limit is None else f"context {model.context_limit}"
    source = "" if model.source_limit is None else f", source {model.source_limit}"
    return (
        f"{model.name}@{model.version}: {model.family}, {model.parameters} parameters, "
        f"vocabulary {model.vocabulary_size}, {context}{source}, on {model.device}, "
        f"{model.running} running, {model.waiting} waiting"
    )
