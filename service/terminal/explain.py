"""A failed call in one line, with what may help."""

from __future__ import annotations

import difflib

from service.failures import ClientError, Internal, InvalidArgument, NotFound, Unauthenticated, Unavailable
from service.terminal.connection import TOKEN, Connection
from service.terminal.neighbour import answering


def explain(error: ClientError, there: Connection) -> str:
    """Return what to tell of an error of a call to `there`; where nobody answered as a server would, ask who did."""
    if isinstance(error, InvalidArgument) and error.violations:
        return "; ".join(f"{violation.field} {violation.description}" for violation in error.violations)
    if isinstance(error, NotFound):
        return f"{error}{_closest(str(error), error.known)}"
    if isinstance(error, Unauthenticated):
        return f"{error} (give --token-file FILE, or the token in {TOKEN})"
    if error.request_id:  # a server of ours has seen it
        return f"{error} (request {error.request_id})" if isinstance(error, Internal) else str(error)
    if error.status == "UNIMPLEMENTED":
        return f"what listens at {there.address} speaks gRPC, but does not know this call: {error}"
    if isinstance(error, Unavailable | Internal):
        found = answering(there.address, encrypted=there.encrypted)
        return f"no answer from {there.address}: {found or error}"
    return str(error)


def _closest(message: str, known: tuple[str, ...]) -> str:
    asked = message.split("'")[1] if message.count("'") >= 2 else ""
    names = list(known) if "@" in asked else list(dict.fromkeys(name.partition("@")[0] for name in known))
    close = difflib.get_close_matches(asked, names, 1)
    return f"; did you mean {close[0]}?" if close else ""
