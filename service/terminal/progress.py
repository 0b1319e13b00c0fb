"""How far a batch is, on standard error, where somebody looks on and rich is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from service.terminal.extra import is_there


class Progress(Protocol):
    """Is told of every line that is done."""

    def advance(self, tokens: int) -> None:
        """One more line is done, with so many tokens."""


class _Silent:
    def advance(self, tokens: int) -> None:
        """Tell nobody."""


@contextmanager
def progress(lines: int, done: int) -> Iterator[Progress]:
    """Show a bar of so many lines, of which some are done, while the body runs."""
    if not sys.stderr.isatty() or not is_there("rich"):
        yield _Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[tokens]:,} tokens"), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=lines, completed=done, tokens=0)

        class Shown:
            tokens = 0

            def advance(self, tokens: int) -> None:
                self.tokens += tokens
                bars.update(task, advance=1, tokens=self.tokens)

        yield Shown()
