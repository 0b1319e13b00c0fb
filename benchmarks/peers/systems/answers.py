"""How a peer's process talks: requests as JSON lines on stdin, answers as JSON lines on stdout. Knows no peer.

`{"prompts": [[id, ...], ...], "new_tokens": n}` asks for n greedy tokens behind every prompt, all prompts at once;
`{"windows": [[id, ...], ...], "first": f}` for how likely the tokens of every window from place f + 1 on are.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any


@dataclass
class Generated:
    """What came of some prompts: when the tokens of each arrived (seconds since all were sent), and which they are."""

    arrivals: list[list[float]]
    tokens: list[list[int]] = field(default_factory=list)


class Peer(ABC):
    """What a peer can be asked for."""

    @abstractmethod
    def generate(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Generated:
        """Continue every prompt by exactly `new_tokens` greedy tokens, the end token taken as any other."""

    def loss(self, windows: Sequence[Sequence[int]], first: int) -> float:
        """Return the sum of -log p of tokens first + 1 ... of every window, given all before them in the window."""
        raise NotImplementedError("it has random weights, or keeps its logits to itself")

    def processes(self) -> list[int]:
        """Return the ids of the processes that hold the model."""
        return [os.getpid()]

    def close(self) -> None:  # noqa: B027 most have nothing to end
        """End what was started beside this process."""


class Watch:
    """Counts seconds from when it was made, and notes a moment for each of a number of streams."""

    def __init__(self, streams: int) -> None:
        self.arrivals: list[list[float]] = [[] for _ in range(streams)]
        self._began = time.perf_counter()

    def tick(self, stream: int) -> None:
        """One token of `stream` is there."""
        self.arrivals[stream].append(time.perf_counter() - self._began)

    def tick_all(self) -> None:
        """One token of every stream is there."""
        now = time.perf_counter() - self._began
        for arrivals in self.arrivals:
            arrivals.append(now)


def serve(make: Callable[[], Peer]) -> None:
    """Make a peer, answer until stdin ends, and close it. What libraries print meanwhile goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = make()
    try:
        _answer_all(peer, answers)
    finally:
        peer.close()


def _answer_all(peer: Peer, answers: IO[str]) -> None:
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        try:
            answer = _answer(peer, json.loads(line))
        except Exception as error:  # noqa: BLE001 the other side is told and goes on with the other peers
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"}
        print(json.dumps(answer), file=answers, flush=True)


def _answer(peer: Peer, request: dict[str, Any]) -> dict[str, Any]:
    if "windows" in request:
        return {"loss": peer.loss(request["windows"], request["first"])}
    generated = peer.generate(request["prompts"], request["new_tokens"])
    resident = sum(resident_bytes(process) for process in peer.processes())
    return {"arrivals": generated.arrivals, "tokens": generated.tokens, "resident_bytes": resident}


def resident_bytes(process: int) -> int:
    """Return the resident memory of a process, pages of mapped files included (Linux)."""
    with open(f"/proc/{process}/statm", encoding="ascii") as file:  # noqa: PTH123 read at every call, as fast as may be
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
