"""What one part found, on disk: one JSON file, with where and when."""

from __future__ import annotations

import datetime
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.reliability.claim import Claim


@dataclass(frozen=True, slots=True)
class Record:
    """Claims of one part. seconds: that measuring took.    quick: whether it was only tried."""

    title: str
    day: str
    machine: str
    seconds: float
    quick: bool
    claims: tuple[Claim, ...]


def record(title: str, seconds: float, quick: bool, claims: list[Claim]) -> Record:
    """Return what was found here and today."""
    machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores"
    return Record(title, str(datetime.date.today()), machine, seconds, quick, tuple(claims))


def write(found: Record, file: Path) -> None:
    """Write it as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(TypeAdapter(Record).dump_json(found, indent=2) + b"\n")


def read(file: Path) -> Record:
    """Read what `write` wrote. Raises OSError, ValueError."""
    return TypeAdapter(Record).validate_json(file.read_bytes())
