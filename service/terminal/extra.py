"""Libraries that a server does without, and so may a client that needs no pictures."""

from __future__ import annotations

from importlib.util import find_spec

from service.terminal.command import UsageError


def is_there(library: str) -> bool:
    """Whether a library of the extra "client" is installed."""
    return find_spec(library) is not None


def require(library: str, otherwise: str = "") -> None:
    """Raise UsageError if a library of the extra "client" is not installed. otherwise: how to do without."""
    if not is_there(library):
        line = f"this needs {library}: pip install 'seqstream[client]'"
        raise UsageError(f"{line} ({otherwise})" if otherwise else line)
