"""How many connections a process can have: each is an open file, and a process that has no more cannot even say so."""

from __future__ import annotations

import logging

# Of models, logs, certificates, metrics, and what libraries open.
_OTHERS = 256

_log = logging.getLogger(__name__)


def allow_connections(wanted: int) -> int:
    """Let this process open as many files as so many connections need. Returns how many connections it can have."""
    try:
        import resource
    except ModuleNotFoundError:  # there is none for Windows, nor such a limit
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OTHERS
    if hard != resource.RLIM_INFINITY and hard < needed:
        allowed = max(1, hard - _OTHERS)
        _log.warning("%d connections are allowed instead of %d: the process may open %d files", allowed, wanted, hard)
        wanted, needed = allowed, hard
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return wanted
