"""Who calls: for whom, and what they may. Knows nothing about how that was found out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

# Fits into metadata, log lines and file names as it is.
TENANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
TENANT_RULE = "1 to 64 of A-Z a-z 0-9 . _ -, the first and the last a letter or digit"


class Role(StrEnum):
    """What a caller may: an admin may also change what is served, and act for any tenant."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller of one call.

    tenant: for whom it is; empty: nobody in particular.
    name: what the caller is known by, the id of its token or a name in its certificate; empty: it is not known.
    """

    tenant: str = ""
    role: Role = Role.USER
    name: str = ""
