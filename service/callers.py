"""The file of those who may call: which token or certificate is whose. It holds no secret, only hashes of tokens.

    [[token]]                            # a line of `python -m service.tokens new` each
    id = "5d0f1c9a7b23"
    sha256 = "…"
    tenant = "acme"
    role = "user"                        # or "admin"; default: user
    expires = 2027-01-01T00:00:00Z       # default: never

    [[certificate]]                      # for mutual TLS
    name = "batch.acme.example"          # a subject alternative name, or the common name where there is none
    tenant = "acme"

Knows nothing about gRPC.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from service.identity import TENANT, TENANT_RULE, Identity, Role
from service.token import matches, token_id
from service.watched import Watched


class CallersError(ValueError):
    """The file of callers cannot be used. The message is one line without any value: one could be a secret."""


def _tenant(tenant: str) -> str:
    if tenant and not TENANT.fullmatch(tenant):
        raise ValueError(f"allowed: {TENANT_RULE}")
    return tenant


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: Annotated[str, AfterValidator(_tenant)] = ""
    role: Role = Role.USER


class TokenEntry(_Entry):
    """One token: its id and hash, whose it is, and until when it is valid."""

    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    expires: AwareDatetime | None = None

    @property
    def expired(self) -> bool:
        return self.expires is not None and self.expires.timestamp() <= time.time()


class CertificateEntry(_Entry):
    """One name in certificates, and whose it is."""

    name: str = Field(min_length=1, max_length=1024)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    token: tuple[TokenEntry, ...] = ()
    certificate: tuple[CertificateEntry, ...] = ()


class Callers:
    """Those who may call."""

    def __init__(self, tokens: Iterable[TokenEntry], certificates: Iterable[CertificateEntry]) -> None:
        self._tokens = {entry.id: entry for entry in tokens}
        self._certificates = {entry.name: entry for entry in certificates}

    def by_token(self, token: str) -> Identity | None:
        """Return whose a token is, or None if it is nobody's, or not valid any more."""
        entry = self._tokens.get(token_id(token) or "")
        if not matches(token, None if entry is None else entry.sha256) or entry is None or entry.expired:
            return None
        return Identity(entry.tenant, entry.role, entry.id)

    def by_certificate(self, names: Iterable[str]) -> Identity | None:
        """Return whose the first known one of `names` is, or None if none is known."""
        for name in names:
            if (entry := self._certificates.get(name)) is not None:
                return Identity(entry.tenant, entry.role, name)
        return None

    def __len__(self) -> int:
        return len(self._tokens) + len(self._certificates)


def watched_callers(path: Path) -> Watched[Callers]:
    """Return those in the file of callers, who follow it. Raises CallersError."""
    try:
        return Watched([path], lambda: read_callers(path))
    except OSError as error:
        raise CallersError(f"{path}: {error.strerror}") from None


def read_callers(path: Path) -> Callers:
    """Read the file of callers.

    Raises:
        CallersError: it is not there, is no TOML, or has an entry that is not allowed or is there twice.
    """
    try:
        file = _File(**tomllib.loads(path.read_text()))
    except OSError as error:
        raise CallersError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise CallersError(f"{path}: is not TOML") from None
    except (ValidationError, TypeError) as error:
        raise CallersError(f"{path}: {_first(error)}") from None
    _check_unique(path, "token", "id", [entry.id for entry in file.token])
    _check_unique(path, "certificate", "name", [entry.name for entry in file.certificate])
    return Callers(file.token, file.certificate)


def _check_unique(path: Path, table: str, key: str, values: Sequence[str]) -> None:
    seen: set[str] = set()
    for place, value in enumerate(values):
        if value in seen:
            raise CallersError(f"{path}: {table}[{place}].{key}: is that of another entry")
        seen.add(value)


def _first(error: ValidationError | TypeError) -> str:
    """Return what is wrong first, without the value: a token may have been put where its hash belongs."""
    if isinstance(error, TypeError):
        return "has a key that is no name"
    first = error.errors(include_input=False, include_context=False)[0]
    if first["type"] == "extra_forbidden":
        where, what = first["loc"][:-1], "has an unknown key"
    else:
        where, what = first["loc"], first["msg"]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
    return f"{place}: {what}" if place else what
