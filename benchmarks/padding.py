"""python -m benchmarks.padding: how many steps waiting prompts take, and how much of them is padding.

Arithmetic of the scheduler alone, beside taking prompts strictly in the order of arrival.
"""

from __future__ import annotations

import random
import time
from statistics import mean

from bundle.manifest import Calls
from service.inbox import Inbox
from service.request import GenerationRequest, StopConditions
from service.scheduler import Scheduler
from service.sequence import Sequence
from service.stream import Stream
from service.turns import Turns

WAITING, SHORTEST, LONGEST, BUDGET, DRAWS = 32, 16, 200, 256, 200


def scheduled(lengths: list[int]) -> list[list[int]]:
    """Return the lengths of the pieces of every step that consumes prompts of these lengths."""
    scheduler, steps = Scheduler(Calls(chunk="single"), BUDGET, Turns(dict)), []
    for length in lengths:
        request = GenerationRequest("r", (1,) * length, StopConditions(1))
        scheduler.add(Sequence(Stream(request, Inbox(), time.monotonic), 0.0))
    while not scheduler.idle:
        pieces = scheduler.plan(len(lengths))
        for piece in pieces:
            piece.sequence.consumed += piece.length
        steps.append([piece.length for piece in pieces])
    return steps


def in_order(lengths: list[int]) -> list[list[int]]:
    """Return the same for prompts that share a step with the next ones as long as the budget holds them."""
    steps: list[list[int]] = []
    for length in lengths:
        if steps and (len(steps[-1]) + 1) * max(*steps[-1], length) <= BUDGET:
            steps[-1].append(length)
        else:
            steps.append([length])
    return steps


def main() -> None:
    """Print the means of many draws."""
    source = random.Random(0)
    draws = [[source.randint(SHORTEST, LONGEST) for _ in range(WAITING)] for _ in range(DRAWS)]
    for name, ways in (("in order", map(in_order, draws)), ("scheduled", map(scheduled, draws))):
        steps = list(ways)
        grids = [sum(len(step) * max(step) for step in each) for each in steps]
        real = [sum(map(sum, each)) for each in steps]
        padding = 1 - sum(real) / sum(grids)
        print(f"{name}: {mean(map(len, steps)):.1f} steps, {padding:.1%} padding")


if __name__ == "__main__":
    main()
