"""Runs what `bench` asks for: levels one after the other, then tables, JSON and a picture of them."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial

from service.answers import Model
from service.bench.driver import Part
from service.bench.lengths import Lengths
from service.bench.level import Level
from service.bench.processes import Processes
from service.bench.summary import Objective, Summary, summary
from service.bench.workload import Drawn, Given, Request, Workload
from service.retry import Retry
from service.terminal.command import UsageError
from service.terminal.connection import Connection
from service.terminal.extra import require
from service.terminal.lines import read_lines

_PROMPT, _OUTPUT, _SECONDS = "uniform:16:128", "uniform:32:128", 30.0
# Streams that share a connection, well below the 256 calls that a server lets one have at once.
_STREAMS_A_CONNECTION = 100
_CONNECTIONS_OF_A_RATE = 4


async def run(given: argparse.Namespace, there: Connection) -> int:
    """Run the command. Returns 1 if no request of some level was answered.

    Raises:
        ClientError: not even one request is answered, before any level.
        ValueError, OSError: the command line asks for what cannot be, or a file cannot be written.
    """
    _check(given)
    async with there.client() as client:
        model = await client.model(given.model)
        workload = _workload(given, model)
        first = workload.request(0)
        await client.generate(model.reference, first.prompt, timeout=given.timeout, **first.options).result()
    asked = Retry(attempts=1)
    part = Part(partial(there.client, asked), _connections(given), model.reference, workload)
    objective = _objective(given)
    found = []
    try:
        with Processes(part, given.processes) as processes:
            for level in _levels(given):
                _say(f"{level.load:g} {'requests/s' if level.kind == 'rate' else 'streams'} ...")
                found.append(summary(level, await processes.run(level), objective))
    finally:
        if found:  # the levels before one that was interrupted, or that found no server, are told
            _tell(given, there, model, found)
    return 0 if all(one.first_token for one in found) else 1


def _check(given: argparse.Namespace) -> None:
    if given.duration is not None and given.requests is not None:
        raise UsageError("give either --duration or --requests")
    if given.prompts is not None and given.prompt_tokens is not None:
        raise UsageError("give either --prompts or --prompt-tokens")
    if given.streams is not None and min(given.streams) < given.processes:
        raise UsageError(f"--streams {min(given.streams)} is less than one for each of --processes {given.processes}")
    if given.png is not None:
        require("matplotlib")
    if str(given.json) != "-":
        require("rich", "--json - needs it not")
    for path in (given.json, given.png):
        if path is not None and str(path) != "-" and not path.resolve().parent.is_dir():
            raise UsageError(f"{path}: there is no folder {path.resolve().parent}")


def _workload(given: argparse.Namespace, model: Model) -> Workload:
    if given.prompts is None:
        prompt = _lengths("--prompt-tokens", given.prompt_tokens or _PROMPT)
        return Drawn.of(model, prompt, _lengths("--output-tokens", given.output_tokens or _OUTPUT), given.seed)
    requests = []
    with given.prompts.open("rb") as lines:
        for line in read_lines(lines, str(given.prompts)):
            if line.options.get("samples", 1) != 1:
                raise UsageError(f"{given.prompts}: {line.id}: has several samples; allowed here: one")
            requests.append(Request(line.prompt, line.options))
    if not requests:
        raise UsageError(f"{given.prompts}: has no requests")
    output = None if given.output_tokens is None else _lengths("--output-tokens", given.output_tokens)
    return Given(tuple(requests), output, given.seed)


def _lengths(flag: str, text: str) -> Lengths:
    try:
        return Lengths.parse(text)
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from None


def _connections(given: argparse.Namespace) -> int:
    if given.connections is not None:
        return int(given.connections)
    if given.streams is None:
        return _CONNECTIONS_OF_A_RATE
    return math.ceil(int(max(given.streams)) / int(given.processes) / _STREAMS_A_CONNECTION)


def _objective(given: argparse.Namespace) -> Objective | None:
    if given.slo_ttft_ms is None and given.slo_itl_ms is None:
        return None
    return Objective(*(None if ms is None else ms / 1e3 for ms in (given.slo_ttft_ms, given.slo_itl_ms)))


def _levels(given: argparse.Namespace) -> list[Level]:
    seconds = None if given.requests is not None else given.duration or _SECONDS
    kind, loads = ("rate", given.rate) if given.rate is not None else ("streams", given.streams)
    return [
        Level(kind, float(load), given.warm_up, seconds, given.requests, given.timeout, given.seed) for load in loads
    ]


def _tell(given: argparse.Namespace, there: Connection, model: Model, found: Sequence[Summary]) -> None:
    if given.json is not None:
        text = json.dumps(_document(given, there, model, found), indent=2)
        if str(given.json) == "-":
            print(text)
        else:
            given.json.write_text(text + "\n", encoding="utf-8")
    if given.png is not None:
        from service.bench.picture import draw

        draw(found, f"{model.reference}, {model.device}", given.png)
    if str(given.json) != "-":
        from rich.console import Console

        from service.bench.table import remarks, show

        show(found, Console(width=None if sys.stdout.isatty() else 500))
        for one in found:
            for remark in remarks(one):
                _say(remark)


def _document(
    given: argparse.Namespace, there: Connection, model: Model, found: Sequence[Summary]
) -> dict[str, object]:
    """Return everything, for JSON. Times are in seconds."""
    return {
        "format_version": 1,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "address": there.address,
        "model": model.reference,
        "family": model.family,
        "device": model.device,
        "rows": model.rows,
        "prompt_tokens": None if given.prompts else given.prompt_tokens or _PROMPT,
        "output_tokens": given.output_tokens or (None if given.prompts else _OUTPUT),
        "prompts": None if given.prompts is None else str(given.prompts),
        "seed": given.seed,
        "warm_up": given.warm_up,
        "timeout": given.timeout,
        "processes": given.processes,
        "objective": None if (objective := _objective(given)) is None else asdict(objective),
        "levels": [asdict(one) for one in found],
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr)
