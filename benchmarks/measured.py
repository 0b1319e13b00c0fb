"""Everything that scaling measures, in one run on one machine, and its file."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks import replicas, steps
from benchmarks.replicas import Replicas
from benchmarks.steps import BATCHES

Say = Callable[[str], None]
MODELS = ("transformer-lm", "gru")


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens/s by rows: of the graph alone, and of a server with as many streams that shares its core with nobody."""

    bare: dict[int, float]
    served: dict[int, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured, where and when."""

    machine: str
    cores: int
    day: str
    rates: dict[str, Rates]
    replicas: Replicas


def measure(models: Path, say: Say) -> Measured:
    """Measure everything; about six minutes."""
    rates = {}
    for name in MODELS:
        say(f"step times of {name}")
        rates[name] = Rates(steps.bare_rates(models, name), replicas.served_rates(models, name, BATCHES))
    cores = len(os.sched_getaffinity(0))
    machine = f"{platform.machine()}, {cores} cores"
    return Measured(machine, cores, str(datetime.date.today()), rates, replicas.measure(models, MODELS, say))


def write(measured: Measured, file: Path) -> None:
    """Write what was measured as JSON."""
    file.write_bytes(TypeAdapter(Measured).dump_json(measured, indent=2) + b"\n")


def read(file: Path) -> Measured:
    """Read what was measured. Raises OSError, ValueError."""
    return TypeAdapter(Measured).validate_json(file.read_bytes())
