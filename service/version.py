"""A version that is not served, and why: it comes, it goes, or it cannot be. Values and errors only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Stamp = tuple[tuple[str, int, int, int], ...]


class State(StrEnum):
    """READY: served.    LOADING: not yet.    UNLOADING: for what runs only.    FAILED: cannot be loaded."""

    READY = "ready"
    LOADING = "loading"
    UNLOADING = "unloading"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Version:
    """One version. error: why it could not be loaded, one line."""

    name: str
    number: int
    state: State
    error: str = ""

    @property
    def reference(self) -> str:
        """The version as "name@version"."""
        return f"{self.name}@{self.number}"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a version could not be loaded, and how its files were then."""

    error: str
    stamp: Stamp


class ChangeError(ValueError):
    """What is served cannot be changed as it was asked for. `reference` is the version."""

    def __init__(self, reference: str, message: str) -> None:
        super().__init__(message)
        self.reference = reference


class BadVersionError(ChangeError):
    """A version cannot be served; `reason` is one line that names the file."""

    def __init__(self, reference: str, reason: str) -> None:
        super().__init__(reference, f"{reference} cannot be served: {reason}")
        self.reason = reason


class UnloadingError(ChangeError):
    """A version is about to go, and cannot come back before it has."""

    def __init__(self, reference: str) -> None:
        super().__init__(reference, f"{reference} is being unloaded")


class LastModelError(ChangeError):
    """A version cannot go, because no other is served."""

    def __init__(self, reference: str) -> None:
        super().__init__(reference, f"{reference} is the only one that is served")
