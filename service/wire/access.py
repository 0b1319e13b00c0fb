"""Who a call comes from, and whether it may do what it asks for. Asked once a call, never for a message.

Knows nothing about what a call does.
"""

from __future__ import annotations

from service.identity import TENANT, TENANT_RULE, Identity, Role
from service.wire import refusals
from service.wire.context import Context
from service.wire.refusals import Violation

TENANT_KEY = "x-tenant"


def require_admin(identity: Identity) -> None:
    """Let admins pass. To be asked first in every call that changes what is served.

    Raises:
        Refusal: PERMISSION_DENIED.
    """
    if identity.role is not Role.ADMIN:
        raise refusals.denied("ADMIN_REQUIRED", "the call needs the role admin", role=identity.role.value)


class Access:
    """Finds out who calls."""

    def __init__(self, anonymous: Role = Role.USER) -> None:
        """anonymous: role of callers that nobody asks who they are."""
        self._anonymous = anonymous

    def identify(self, context: Context) -> Identity:
        """Return who the call of `context` comes from.

        Raises:
            Refusal: INVALID_ARGUMENT for a tenant that is no name.
        """
        return Identity(_asked_tenant(dict(context.invocation_metadata() or ())), self._anonymous)


def _asked_tenant(metadata: dict[str, str | bytes]) -> str:
    """Return the tenant that the call says it is for, or nothing."""
    asked = metadata.get(TENANT_KEY, "")
    if asked and not (isinstance(asked, str) and TENANT.fullmatch(asked)):
        raise refusals.invalid([Violation(TENANT_KEY, f"is {asked!r}; allowed: {TENANT_RULE}")])
    return str(asked)
