"""Many streams at a time through one address, each compared with what an undisturbed run gave."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from benchmarks.reliability.asked import Asked, Seen, read
from service.client import Client
from service.failures import ClientError
from service.retry import Retry

_CLIENTS = 8  # connections, of as many users
Expected = Sequence[tuple[Asked, Seen]]


@dataclass(slots=True)
class Tally:
    """What became of all streams. pauses: the longest of each, in seconds.    wrong, failed: in words."""

    streams: int = 0
    tokens: int = 0
    pauses: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, seen: Seen, expected: Seen) -> None:
        """Count a stream that ended."""
        self.streams += 1
        self.tokens += len(seen.token_ids)
        self.pauses.append(seen.pause)
        for part in ("token_ids", "text", "logprobs", "reason"):
            if getattr(seen, part) != getattr(expected, part):
                self.wrong.append(f"{part}: {getattr(seen, part)} for {getattr(expected, part)}")

    def fail(self, asked: Asked, error: ClientError) -> None:
        """Count a stream whose reader was told an error."""
        self.streams += 1
        self.failed.append(f"{asked.model}: {type(error).__name__}: {error}")

    @property
    def sound(self) -> bool:
        """Whether every stream ended as it does undisturbed."""
        return bool(self.streams) and not self.wrong and not self.failed

    @property
    def told(self) -> str:
        """In words, how many did not, with the first of each kind."""
        words = [f"{len(self.wrong)} differ", f"{len(self.failed)} failed"]
        return ", ".join(words) + "".join(f" ({kind[0][:200]})" for kind in (self.wrong, self.failed) if kind)


async def undisturbed(address: str, asked: Sequence[Asked]) -> Expected:
    """Return every generation with what it is where nothing is in its way."""
    async with Client(address) as client:
        found = await asyncio.gather(*(read(client, one) for one in asked))
    return list(zip(asked, found, strict=True))


async def load(address: str, expected: Expected, streams: int, ended: asyncio.Event, retry: Retry) -> Tally:
    """Keep `streams` generations running, one begun where another ended, until `ended` is set and they have ended."""
    tally = Tally()

    async def follow(client: Client, dice: random.Random) -> None:
        while True:
            one, whole = dice.choice(expected)
            try:
                tally.add(await read(client, one), whole)
            except ClientError as error:
                tally.fail(one, error)
            if ended.is_set():
                return

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(address, retry)) for _ in range(_CLIENTS)]
        await asyncio.gather(*(follow(clients[n % _CLIENTS], random.Random(n)) for n in range(streams)))
    return tally
