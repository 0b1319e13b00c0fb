"""What a client shows of itself with every call: a token, the tenant that it is for, the trace that it belongs to."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from service.wire.context import AUTHORIZATION, TENANT_KEY
from service.wire.propagated import trace_context

# A function is asked at every call, so that a token can be replaced while the client lives.
Token = str | Callable[[], str]


@dataclass(frozen=True, slots=True)
class Shown:
    """Never shown in turn: its token is not in its representation."""

    token: Token | None = field(default=None, repr=False)
    tenant: str | None = None

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what goes beside a request. Raises ValueError for a token that cannot, without telling it."""
        shown = []
        if self.token is not None:
            token = self.token if isinstance(self.token, str) else self.token()
            if not (token.isascii() and token.isprintable() and token and " " not in token):
                raise ValueError("the token is not one word of ASCII")
            shown.append((AUTHORIZATION, f"Bearer {token}"))
        if self.tenant is not None:
            shown.append((TENANT_KEY, self.tenant))
        return (*shown, *trace_context())


def token_in(file: Path) -> Callable[[], str]:
    """Return what reads the token in `file`, anew at every call.

    Raises:
        OSError: now or then, it cannot be read.
        ValueError: likewise, it does not hold one word.
    """

    def read() -> str:
        words = file.read_text().split()
        if len(words) != 1:
            raise ValueError(f"{file}: holds {len(words)} words; allowed: one, the token")
        return words[0]

    read()
    return read


def stays_here(address: str) -> bool:
    """Whether what is sent to `address` does not leave this machine."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host = address.removeprefix("dns:///").removeprefix("dns:").rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
