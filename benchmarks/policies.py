"""How balancers choose a replica, for the simulation. What one proxy or connection knows, no other does."""

from __future__ import annotations

import random
from typing import Protocol


class Policy(Protocol):
    """Chooses a replica for each stream."""

    def join(self, replica: int) -> None:
        """Learn that a replica takes streams from now on."""

    def leave(self, replica: int) -> None:
        """Learn that a replica takes no new streams."""

    def choose(self, now: float) -> tuple[int, int]:
        """Return the proxy, or connection, that the next stream comes through and the replica that it goes to."""

    def ended(self, proxy: int, replica: int) -> None:
        """Learn that a stream that came through `proxy` has ended."""


class Random:
    """Any replica, as a balancer of layer 4 does with connections of one stream each."""

    def __init__(self, seed: int) -> None:
        self._source = random.Random(seed)
        self._members: list[int] = []

    def join(self, replica: int) -> None:
        self._members.append(replica)

    def leave(self, replica: int) -> None:
        self._members.remove(replica)

    def choose(self, now: float) -> tuple[int, int]:
        return 0, self._members[int(self._source.random() * len(self._members))]

    def ended(self, proxy: int, replica: int) -> None:
        pass


class RoundRobin(Random):
    """One behind the other, every client or proxy at its own place."""

    def __init__(self, seed: int, proxies: int = 1) -> None:
        super().__init__(seed)
        self._next = [int(self._source.random() * (1 << 30)) for _ in range(proxies)]

    def choose(self, now: float) -> tuple[int, int]:
        proxy = int(self._source.random() * len(self._next))
        self._next[proxy] += 1
        return proxy, self._members[self._next[proxy] % len(self._members)]


class LeastRequest(Random):
    """The one with the fewest streams of this proxy, among `choices` at random (0: among all)."""

    def __init__(self, seed: int, proxies: int = 1, choices: int = 2) -> None:
        super().__init__(seed)
        self._choices = choices
        self._held: list[dict[int, int]] = [{} for _ in range(proxies)]

    def join(self, replica: int) -> None:
        super().join(replica)
        for held in self._held:
            held[replica] = 0

    def choose(self, now: float) -> tuple[int, int]:
        source, members = self._source, self._members
        proxy = int(source.random() * len(self._held))
        held = self._held[proxy]
        if self._choices:
            tried = [members[int(source.random() * len(members))] for _ in range(self._choices)]
            best = min(tried, key=held.__getitem__)
        else:
            fewest = min(map(held.__getitem__, members))
            best = source.choice([member for member in members if held[member] == fewest])
        held[best] += 1
        return proxy, best

    def ended(self, proxy: int, replica: int) -> None:
        self._held[proxy][replica] -= 1


class Sticky(Random):
    """Connections that were each balanced once, at random, and carry all their client's streams.

    A connection older than `age` seconds, with a jitter of 10 % either way, is dialled anew before its next stream.
    """

    def __init__(self, seed: int, connections: int, age: float = float("inf")) -> None:
        super().__init__(seed)
        self._age = age
        self._replica = [-1] * connections
        self._until = [0.0] * connections
        self._gone: set[int] = set()

    def leave(self, replica: int) -> None:
        super().leave(replica)
        self._gone.add(replica)

    def choose(self, now: float) -> tuple[int, int]:
        connection = int(self._source.random() * len(self._replica))
        if now >= self._until[connection] or self._replica[connection] in self._gone:
            # The first time a connection is already of some age.
            jitter = self._source.random()
            share = jitter if self._replica[connection] < 0 else 0.9 + 0.2 * jitter
            self._replica[connection] = super().choose(now)[1]
            self._until[connection] = now + self._age * share
        return connection, self._replica[connection]
