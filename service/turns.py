"""Requests that wait, and whose turn it is: tenants share tokens; within a tenant the more urgent and older go first.

Every tenant has a counter of the tokens that were computed for it, prompts and drawn ones, those of running samples
included (virtual token counters: Sheng et al. 2024); the one with the smallest is next. Whoever comes anew starts where
the last one was that had a turn (start-time fair queueing: Goyal et al. 1996): nobody saves up turns by being away.
Knows counts, no rows and no tokens.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

from service.sequence import Sequence

_MOST_TENANTS = 1024  # of which is known what they were served


@dataclass(slots=True)
class Held:
    """What the running samples of a tenant have: rows, and the tokens drawn in them."""

    rows: int = 0
    tokens: int = 0


@dataclass(slots=True)
class _Tenant:
    """served: tokens computed for it, without those of samples that run.    waiting: in order, with their keys."""

    served: int
    waiting: list[tuple[tuple[int, int], Sequence]]


class Turns:
    """The requests that wait."""

    def __init__(self, held: Callable[[], Mapping[str, Held]], most_rows: int | None = None) -> None:
        """held: what runs, by tenant; asked when requests come and are chosen, not for every token.

        most_rows: that one tenant may have, or None.
        """
        self._held = held
        self._most_rows = most_rows
        self._tenants: dict[str, _Tenant] = {}
        self._keys: dict[int, tuple[int, int]] = {}
        self._numbers = count()
        self._level = 0  # the counter of the last one that had a turn, then

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Sequence]:
        """Yield requests in turn; those of a tenant that has all rows it may have are left out."""
        waiting = {name: tenant for name, tenant in self._tenants.items() if tenant.waiting}
        held = self._held() if len(waiting) > 1 or self._most_rows is not None else {}
        turns = [
            (tenant.served + _of(held, name).tokens, tenant.waiting[0][0][1], name, 0)
            for name, tenant in waiting.items()
        ]
        heapq.heapify(turns)
        rows = {name: _of(held, name).rows for *_, name, _ in turns}
        while turns:
            level, _, name, place = heapq.heappop(turns)
            queue = waiting[name].waiting
            sequence = queue[place][1]
            rows[name] += len(sequence.live)
            if self._most_rows is not None and rows[name] > self._most_rows:
                continue
            yield sequence
            if place + 1 < len(queue):
                level += sequence.request.prompt_tokens
                heapq.heappush(turns, (level, queue[place + 1][0][1], name, place + 1))

    def everyone(self) -> Iterator[Sequence]:
        """Yield every request, in no particular order."""
        for tenant in self._tenants.values():
            for _, sequence in tenant.waiting:
                yield sequence

    def add(self, sequence: Sequence) -> None:
        """Let a request wait."""
        name = sequence.request.tenant
        tenant = self._tenants.get(name)
        if tenant is None:
            self._sweep()
            tenant = self._tenants[name] = _Tenant(0, [])
        if not tenant.waiting:
            # What it runs counts beside `served`: together they are to be no less than the level.
            tenant.served = max(tenant.served, self._level - _of(self._held(), name).tokens)
        key = (-sequence.request.priority, next(self._numbers))
        self._keys[id(sequence)] = key
        insort(tenant.waiting, (key, sequence), key=lambda entry: entry[0])

    def remove(self, sequence: Sequence) -> None:
        """Forget a request that waits."""
        self._tenants[sequence.request.tenant].waiting.remove((self._keys.pop(id(sequence)), sequence))

    def take(self, sequence: Sequence) -> None:
        """Remove a request whose turn it is: its prompt is computed now."""
        name = sequence.request.tenant
        self._level = self._tenants[name].served + _of(self._held(), name).tokens
        self._tenants[name].served += sequence.request.prompt_tokens
        self.remove(sequence)

    def charge(self, tenant: str, tokens: int) -> None:
        """Note that a sample of `tenant` no longer runs, and how many tokens were drawn for it."""
        if tenant in self._tenants:
            self._tenants[tenant].served += tokens

    def _sweep(self) -> None:
        """Forget tenants that have nothing here, so that names take no memory; last those that were served most."""
        if len(self._tenants) < _MOST_TENANTS:
            return
        held = self._held()
        idle = [name for name, tenant in self._tenants.items() if not tenant.waiting and name not in held]
        for name in sorted(idle, key=lambda name: self._tenants[name].served)[: -(-len(idle) // 2)]:
            del self._tenants[name]


def _of(held: Mapping[str, Held], tenant: str) -> Held:
    return held.get(tenant) or Held()
