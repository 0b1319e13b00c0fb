"""`generate --jsonl`: every request of a file, many at once, results in the order of their lines."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from service.client import Client
from service.failures import ClientError, PermissionDenied, Unauthenticated, Unavailable
from service.retry import Retry
from service.terminal.answer import as_object
from service.terminal.command import UsageError
from service.terminal.connection import Connection
from service.terminal.lines import Line, read_lines
from service.terminal.progress import progress
from service.wire.options import Options

# Nothing else would go better after these.
_FATAL = (Unauthenticated, PermissionDenied, Unavailable)
_BEGIN = b'{"id": '
# Results that wait for one of an earlier line, for each request at a time.
_AHEAD = 16


async def run_batch(given: argparse.Namespace, there: Connection, asked: Options) -> int:
    """Answer the requests of a file. Returns 1 if some could not be answered: their lines tell why.

    asked: options of those that do not say otherwise.

    Raises:
        ClientError: nothing can be answered. What was answered is written; the same command goes on behind it.
        ValueError, OSError: a line is none, or a file is not what it should be.
    """
    lines = _lines(given.jsonl)
    done = 0 if given.out is None else _done(given.out, lines)
    if done:
        print(f"{given.out} has {done} of {len(lines)} lines: going on behind them", file=sys.stderr)
    failed = tokens = 0
    begun = time.monotonic()
    async with there.client(Retry(overloaded=True)) as client:
        await client.model(given.model)
        batch = _Batch(client, given.model, asked, given.timeout, given.concurrency)
        with _output(given.out) as output, progress(len(lines), done) as bar:
            async with aclosing(batch.results(lines[done:])) as results:
                async for result in results:
                    output.write(json.dumps(result, ensure_ascii=False).encode() + b"\n")
                    output.flush()
                    failed += "error" in result
                    tokens += (more := sum(len(sample["token_ids"]) for sample in result.get("samples", ())))
                    bar.advance(more)
    seconds = time.monotonic() - begun
    print(
        f"{len(lines) - done} lines, {failed} with an error, {tokens} tokens, {tokens / seconds:.0f} tokens/s",
        file=sys.stderr,
    )
    return 1 if failed else 0


def _lines(path: Path) -> list[Line]:
    if str(path) == "-":
        return list(read_lines(sys.stdin.buffer, "standard input"))
    with path.open("rb") as file:
        return list(read_lines(file, str(path)))


def _done(path: Path, lines: Sequence[Line]) -> int:
    """Return how many results `path` has already; half a line at its end is cut off. Raises UsageError."""
    if not path.exists():
        return 0
    with path.open("rb+") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        found, half = content[:whole].splitlines(), content[whole:]
        try:
            same = (
                _BEGIN.startswith(half[: len(_BEGIN)])
                and len(found) <= len(lines)
                and all(json.loads(result)["id"] == line.id for result, line in zip(found, lines, strict=False))
            )
        except (ValueError, KeyError, TypeError):
            same = False
        if not same:
            raise UsageError(
                f"{path} is there and has not the results of these lines: give another --out, or remove it"
            )
        file.truncate(whole)
    return len(found)


@contextmanager
def _output(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
    else:
        with path.open("ab") as file:
            yield file


class _Batch:
    def __init__(self, client: Client, model: str, asked: Options, timeout: float | None, concurrency: int) -> None:
        self._client, self._model, self._asked, self._timeout = client, model, asked, timeout
        self._free, self._most = asyncio.Semaphore(concurrency), _AHEAD * concurrency

    async def results(self, lines: Sequence[Line]) -> AsyncGenerator[dict[str, Any], None]:
        """Yield a result for each line, in order. Raises ClientError."""
        running: deque[asyncio.Task[dict[str, Any]]] = deque()
        try:
            for line in lines:
                await self._free.acquire()
                running.append(asyncio.create_task(self._answered(line)))
                while running and (running[0].done() or len(running) > self._most):
                    yield await running.popleft()
            while running:
                yield await running.popleft()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _answered(self, line: Line) -> dict[str, Any]:
        try:
            options = Options(**{**self._asked, **line.options})
            generation = self._client.generate(self._model, line.prompt, timeout=self._timeout, **options)
            result = as_object(await generation.result(), logprobs=bool(options.get("logprobs")))
            return {"id": line.id, **result}
        except _FATAL:
            raise
        except (ClientError, TypeError, ValueError) as error:
            status = error.status if isinstance(error, ClientError) else "INVALID_ARGUMENT"
            return {"id": line.id, "error": {"status": status, "message": str(error)}}
        finally:
            self._free.release()
