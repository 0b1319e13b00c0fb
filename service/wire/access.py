"""Who a call comes from, and whether it may do what it asks for. Asked once a call, never for a message.

Knows nothing about what a call does.
"""

from __future__ import annotations

from collections.abc import Iterable

from service.callers import Callers
from service.identity import TENANT, TENANT_RULE, Identity, Role
from service.watched import Watched
from service.wire import refusals
from service.wire.context import AUTHORIZATION, TENANT_KEY, Context
from service.wire.refusals import Violation

# As gRPC names what it finds in a certificate. The common name counts only where there are no others.
_NAMES = ("x509_subject_alternative_name", "x509_common_name")


def require_admin(identity: Identity) -> None:
    """Let admins pass. To be asked first in every call that changes what is served.

    Raises:
        Refusal: PERMISSION_DENIED.
    """
    if identity.role is not Role.ADMIN:
        raise refusals.denied("ADMIN_REQUIRED", "the call needs the role admin", role=identity.role.value)


class Access:
    """Finds out who calls."""

    def __init__(self, callers: Watched[Callers] | None = None, anonymous: Role = Role.USER) -> None:
        """callers: who may call; None: everybody, and nobody is asked.

        anonymous: role of callers that are not asked.
        """
        self._callers = callers
        self._anonymous = anonymous

    def identify(self, context: Context) -> Identity:
        """Return who the call of `context` comes from.

        Raises:
            Refusal: UNAUTHENTICATED, PERMISSION_DENIED, or INVALID_ARGUMENT for a tenant that is no name.
        """
        metadata = list(context.invocation_metadata() or ())
        tenant = _asked_tenant(metadata)
        if self._callers is None:
            return Identity(tenant, self._anonymous)
        identity = _known(self._callers.current(), _only(metadata, AUTHORIZATION), context)
        return _acting_for(tenant, identity)


def _known(callers: Callers, authorization: str | None, context: Context) -> Identity:
    """Return who shows this, or has that certificate. A token goes before the certificate."""
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise refusals.unauthenticated("TOKEN_INVALID", f"{AUTHORIZATION}: allowed: Bearer TOKEN")
        if (identity := callers.by_token(token.strip())) is None:
            raise refusals.unauthenticated("TOKEN_INVALID", f"{AUTHORIZATION}: the token is not valid here")
        return identity
    names = _certified(context)
    if not names:
        raise refusals.unauthenticated("CREDENTIALS_MISSING", f"{AUTHORIZATION}: is missing; allowed: Bearer TOKEN")
    if (identity := callers.by_certificate(names)) is None:
        told = ", ".join(names)
        raise refusals.denied("CERTIFICATE_UNKNOWN", "no name of the certificate is known here", names=told)
    return identity


def _acting_for(tenant: str, identity: Identity) -> Identity:
    """Return `identity` for the tenant that it asked for."""
    if tenant in ("", identity.tenant):
        return identity
    if identity.role is not Role.ADMIN:
        message = f"{TENANT_KEY}: is not the tenant of the caller"
        raise refusals.denied("TENANT_MISMATCH", message, asked=tenant, tenant=identity.tenant)
    return Identity(tenant, identity.role, identity.name)


def _certified(context: Context) -> list[str]:
    """Return the names in the certificate of the caller, or none if it has shown none."""
    found = context.auth_context()
    for key in _NAMES:
        if names := [name.decode(errors="replace") for name in found.get(key, ())]:
            return names
    return []


def _asked_tenant(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the tenant that the call says it is for, or nothing."""
    asked = _only(metadata, TENANT_KEY) or ""
    if asked and not TENANT.fullmatch(asked):
        raise refusals.invalid([Violation(TENANT_KEY, f"is {asked!r}; allowed: {TENANT_RULE}")])
    return asked


def _only(metadata: Iterable[tuple[str, str | bytes]], key: str) -> str | None:
    """Return the value of `key`, or None. Two are refused: whoever stands in between may have read the other."""
    found = [value for name, value in metadata if name == key]
    if len(found) > 1:
        raise refusals.invalid([Violation(key, "is there more than once; allowed: one")])
    return str(found[0]) if found else None
