"""The folder of models, looked at again and again: which versions lie in it, and whether they still change.

By looking, because a network drive tells of no changes. Knows nothing about what is in the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bundle.folder import find_bundles
from service.version import Stamp

# What a manifest may say; anything else in the folder is no version of a model.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Found:
    """A version in the folder. stamp: names, sizes, times and inodes of its files."""

    path: Path
    stamp: Stamp

    @property
    def name(self) -> str:
        return self.path.parent.name

    @property
    def number(self) -> int:
        return int(self.path.name)

    @property
    def reference(self) -> str:
        """The version as "name@version"."""
        return f"{self.name}@{self.number}"


class Look:
    """What was found at the last look, and which of it was found the same at the one before."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self._before: dict[str, Stamp] = {}

    @property
    def stamps(self) -> dict[str, Stamp]:
        """How the files of every version were, by "name@version"."""
        return {one.reference: one.stamp for one in self.found}

    def take(self, folder: Path) -> list[Found]:
        """Look at every version that has a manifest, sorted by name and number.

        Raises:
            BundleError: there is no such folder.
            OSError: it cannot be read.
        """
        before = self.stamps
        self.found = [found for path in find_bundles(folder) if (found := _found(path)) is not None]
        self._before = before
        return self.found

    def settled(self) -> list[Found]:
        """Return the versions whose files did not change between the last two looks: nobody copies them any more."""
        return [one for one in self.found if self._before.get(one.reference) == one.stamp]


def name_and_number(reference: str) -> tuple[str, int]:
    """Return the parts of "name@version"."""
    name, _, number = reference.rpartition("@")
    return name, int(number)


def newest_first(references: Iterable[str]) -> list[str]:
    """Return versions of one model, the newest first."""
    return sorted(references, key=name_and_number, reverse=True)


def _found(path: Path) -> Found | None:
    if not (_NAME.fullmatch(path.parent.name) and _NUMBER.fullmatch(path.name)):
        return None
    try:
        files = [(file.name, file.stat()) for file in sorted(path.iterdir())]
    except FileNotFoundError:  # somebody moves files just now
        return None
    return Found(path, tuple((name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in files))
