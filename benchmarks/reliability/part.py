"""What a module of this package is that measures: a part of the promises, with a title and a way to measure it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from benchmarks.reliability.claim import Claim


class Part(Protocol):
    """One module."""

    @property
    def TITLE(self) -> str:  # noqa: N802 (a constant of the module)
        """What the part is about, as a heading."""

    def measure(self, folder: Path, quick: bool) -> list[Claim]:
        """Measure against real servers, with everything that is written in `folder`.

        quick: only try whether everything runs, in well under a minute.
        """
