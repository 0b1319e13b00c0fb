"""A simulation of many replicas: streams arrive, a policy chooses their replica, rows run and queues wait.

A replica that runs n rows gives each of them a token every `fixed + per_row * n` seconds, so between two events all its
streams advance at one known speed: it is a queue in front of a shared processor, simulated from event to event without
stepping through tokens. Knows nothing about networks; a stream's first token comes two steps after it got its row, as
measured on the server (python -m benchmarks newcomer).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.policies import Policy
from benchmarks.steps import StepTimes

STEPS_TO_FIRST = 2

Action = Callable[[float], None]


@dataclass(slots=True)
class Stream:
    """One request and what became of it; times in seconds, nan: not yet."""

    arrived: float
    tokens: float
    proxy: int = -1
    replica: int = -1
    started: float = np.nan
    first: float = np.nan
    finished: float = np.nan


@dataclass(slots=True)
class Replica:
    """A server: its running streams by where they end on the replica's own clock, which counts tokens a stream."""

    clock: float = 0.0  # seconds: when `passed` was right
    passed: float = 0.0  # tokens that a stream running since the beginning would have
    running: list[tuple[float, int]] = field(default_factory=list)  # heap of (value of `passed` at the end, stream)
    waiting: deque[int] = field(default_factory=deque)
    version: int = 0
    busy: float = 0.0  # seconds with at least one row running

    @property
    def held(self) -> int:
        return len(self.running) + len(self.waiting)


class Cluster:
    """Replicas behind a policy, and the streams that were sent to them."""

    def __init__(self, step: StepTimes, rows: int, policy: Policy, replicas: int) -> None:
        """Start with so many replicas of `rows` rows, all empty."""
        self.step, self.rows, self.policy = step, rows, policy
        self.replicas: list[Replica] = []
        self.streams: list[Stream] = []
        self.now = 0.0
        self._events: list[tuple[float, int, int, int]] = []  # time, number, replica or -1, version of the replica
        self._actions: dict[int, Action] = {}
        self._number = 0
        for _ in range(replicas):
            self.add_replica()

    def add_replica(self) -> int:
        """Add a replica that takes streams from now on, and return its number."""
        self.replicas.append(Replica(clock=self.now))
        self.policy.join(len(self.replicas) - 1)
        return len(self.replicas) - 1

    def at(self, time: float, action: Action) -> None:
        """Call `action` with the time when it has come."""
        self._actions[self._number] = action
        self._push(time, -1, 0)

    def send(self, stream: int) -> None:
        """Let the policy choose a replica for a stream, now."""
        one = self.streams[stream]
        one.proxy, one.replica = self.policy.choose(self.now)
        replica = self.replicas[one.replica]
        self._advance(replica)
        if len(replica.running) < self.rows:
            self._start(replica, stream)
            self._schedule(one.replica)
        else:
            replica.waiting.append(stream)

    def run(self, arrivals: Sequence[float], tokens: Sequence[float], until: float = np.inf) -> None:
        """Let streams of so many tokens arrive at ascending times, and go on until all have ended, or `until`."""
        for arrived, length in zip(arrivals, tokens, strict=True):
            if arrived > until:
                break
            self._go_on(arrived)
            self._arrive(arrived, length)
        self._go_on(until)

    def run_closed(self, streams: int, tokens: Iterator[float], until: float) -> None:
        """Keep so many streams in the system until then: the next one arrives when one has ended."""
        for _ in range(streams):
            self._arrive(self.now, next(tokens))
        while self._events and self._events[0][0] <= until:
            if self._next():
                self._arrive(self.now, next(tokens))
        self.now = until

    def cut(self, number: int) -> float:
        """End all streams of a replica, which are sent to others, and return the tokens that are to be made again.

        What was delivered has to be replayed, token by token, before the stream goes on (docs/design.md).
        """
        replica = self.replicas[number]
        self._advance(replica)
        left = {stream: ending - replica.passed for ending, stream in replica.running}
        cut = [*left, *replica.waiting]
        replica.running, replica.waiting = [], deque()
        replica.version += 1
        for stream in cut:
            self.policy.ended(self.streams[stream].proxy, number)
            self.send(stream)
        return sum(self.streams[stream].tokens - tokens for stream, tokens in left.items())

    def waits(self, begin: float, end: float) -> list[float]:
        """Return the seconds to the first token of the streams that arrived in between."""
        return [one.first - one.arrived for one in self.streams if begin <= one.arrived <= end]

    def _arrive(self, now: float, tokens: float) -> None:
        self.now = now
        self.streams.append(Stream(now, tokens))
        self.send(len(self.streams) - 1)

    def _go_on(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self._next()

    def _next(self) -> bool:
        """Let the next event happen. Returns whether a stream ended."""
        self.now, number, index, version = heapq.heappop(self._events)
        if index < 0:
            self._actions.pop(number)(self.now)
            return False
        if self.replicas[index].version != version:
            return False
        self._end_first(index)
        return True

    def _end_first(self, index: int) -> None:
        replica = self.replicas[index]
        self._advance(replica)
        replica.passed, stream = heapq.heappop(replica.running)
        one = self.streams[stream]
        one.finished = self.now
        self.policy.ended(one.proxy, index)
        if replica.waiting:
            self._start(replica, replica.waiting.popleft())
        self._schedule(index)

    def _start(self, replica: Replica, stream: int) -> None:
        one = self.streams[stream]
        heapq.heappush(replica.running, (replica.passed + one.tokens, stream))
        one.started = self.now
        if one.first != one.first:
            one.first = self.now + STEPS_TO_FIRST * self.step.seconds(len(replica.running))

    def _advance(self, replica: Replica) -> None:
        rows = len(replica.running)
        if rows:
            elapsed = self.now - replica.clock
            replica.passed += elapsed / (self.step.fixed + self.step.per_row * rows)
            replica.busy += elapsed
        replica.clock = self.now

    def _schedule(self, index: int) -> None:
        replica = self.replicas[index]
        replica.version += 1
        rows = len(replica.running)
        if rows:
            left = replica.running[0][0] - replica.passed
            self._push(self.now + left * (self.step.fixed + self.step.per_row * rows), index, replica.version)

    def _push(self, time: float, index: int, version: int) -> None:
        heapq.heappush(self._events, (time, self._number, index, version))
        self._number += 1
