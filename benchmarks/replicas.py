"""One, two and four servers behind every balancer, each server on one thread pinned to one core: what readers see.

The load generator, the balancer and the servers share the cores of one machine: with four servers on two cores two of
them share each, and the CPU time of everybody is measured beside the rates, so that a reader can tell who was short.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import closed_loop
from benchmarks.balancers import BALANCERS, Balancer, BalancerError
from benchmarks.closed_loop import CONNECT_SECONDS, Load, Seen
from benchmarks.server import ServerProcess, serving

ROWS = 32
COUNTS = (1, 2, 4)
_ROUNDS, _CALLS = 2, 100


@dataclass(frozen=True, slots=True)
class Run:
    """One load on so many servers behind one balancer. CPU: seconds a second, 1.0 is a core."""

    model: str
    servers: int
    balancer: str
    seen: Seen
    server_cpu: float
    balancer_cpu: float


@dataclass(frozen=True, slots=True)
class Replicas:
    """Everything that was measured. first_token: balancer -> seconds to the first token of a lone call."""

    runs: list[Run]
    first_token: dict[str, float]
    missing: dict[str, str]


@contextlib.contextmanager
def pinned_servers(models: Path, count: int) -> Iterator[list[ServerProcess]]:
    """Serve `models` from `count` processes of one thread, the first pinned to the first core and so on, all around."""
    own = os.sched_getaffinity(0)
    cores = sorted(own)
    with contextlib.ExitStack() as stack:
        servers = []
        for number in range(count):
            # A process inherits the cores of the thread that starts it.
            os.sched_setaffinity(0, {cores[number % len(cores)]})
            try:
                servers.append(stack.enter_context(serving(models, "--threads", "1", "--rows", str(ROWS))))
            finally:
                os.sched_setaffinity(0, own)
        yield servers


def served_rates(models: Path, name: str, batches: tuple[int, ...]) -> dict[int, float]:
    """Measure one pinned server of the model `name` without a balancer: streams at a time -> tokens/s, the best round.

    Whatever else a machine does makes a server slower, never faster.
    """
    rates = dict.fromkeys(batches, 0.0)
    with pinned_servers(models, 1) as servers:
        for seed in range(_ROUNDS):
            for streams in batches:
                seen = _run(servers, Balancer(servers[0].address), Load(name, streams, 0.5, 1.5), seed)
                rates[streams] = max(rates[streams], seen.tokens_per_second)
    return rates


def measure(models: Path, names: tuple[str, ...], say: Callable[[str], None]) -> Replicas:
    """Load every number of servers behind every balancer that is installed with streams of every model in `names`.

    The better of two rounds counts.
    """
    found: dict[tuple[int, str, str], list[Run]] = {}
    first: dict[str, float] = {}
    missing: dict[str, str] = {}
    for count in COUNTS:
        with pinned_servers(models, count) as servers, contextlib.ExitStack() as stack:
            say(f"{count} servers")
            standing = _start(stack, servers, missing)
            if count == 1:
                first = _first_tokens(standing, names[0])
            for seed in range(_ROUNDS):
                for name in names:
                    for balancer in standing:
                        run = _measure(servers, balancer, standing[balancer], name, seed)
                        found.setdefault((count, balancer, name), []).append(run)
    best = [max(runs, key=lambda run: run.seen.tokens_per_second) for runs in found.values()]
    return Replicas(best, first, missing)


def _start(stack: contextlib.ExitStack, servers: list[ServerProcess], missing: dict[str, str]) -> dict[str, Balancer]:
    standing = {"none": Balancer(servers[0].address)} if len(servers) == 1 else {}
    for name, balance in BALANCERS.items():
        try:
            standing[name] = stack.enter_context(balance([server.address for server in servers]))
        except BalancerError as error:
            missing[name] = str(error)
    return standing


def _first_tokens(standing: Mapping[str, Balancer], model: str) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in standing}
    for _ in range(5):
        for name, balancer in standing.items():
            times[name].append(asyncio.run(closed_loop.first_token(balancer.address, model, _CALLS)))
    return {name: median(found) for name, found in times.items()}


def _measure(servers: list[ServerProcess], name: str, balancer: Balancer, model: str, seed: int) -> Run:
    began, servers_before, before = time.perf_counter(), sum(one.cpu_seconds for one in servers), balancer.cpu_seconds
    seen = _run(servers, balancer, Load(model), seed)
    wall = time.perf_counter() - began - CONNECT_SECONDS
    spent = sum(one.cpu_seconds for one in servers) - servers_before
    return Run(model, len(servers), name, seen, spent / wall, (balancer.cpu_seconds - before) / wall)


def _run(servers: list[ServerProcess], balancer: Balancer, load: Load, seed: int) -> Seen:
    return asyncio.run(closed_loop.run(balancer.address, [server.address for server in servers], load, seed))
