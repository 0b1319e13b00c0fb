"""How calls come in: who may, and by what connections. Made of the settings; what is open to strangers is logged."""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import dataclass

import grpc

from service.callers import watched_callers
from service.identity import Role
from service.settings import Settings
from service.wire.access import Access
from service.wire.tls import Tls, server_credentials

_log = logging.getLogger("service.entrance")


@dataclass(frozen=True, slots=True)
class Entrance:
    """access: who may call.    credentials: for TLS; None: nothing is encrypted."""

    access: Access
    credentials: grpc.ServerCredentials | None


def read_entrance(settings: Settings) -> Entrance:
    """Read the certificates and the callers.

    Raises:
        TlsError, CallersError: the files cannot be used.
    """
    credentials, callers = None, None
    if settings.tls_cert is not None and settings.tls_key is not None:
        credentials = server_credentials(Tls(settings.tls_cert, settings.tls_key, settings.tls_client_ca))
    if settings.callers is not None:
        callers = watched_callers(settings.callers)
    return Entrance(Access(callers, Role(settings.anonymous_role)), credentials)


def warn_of_what_is_open(settings: Settings) -> None:
    """Log what others than programs of this machine may do without being asked."""
    if _is_loopback(settings.host):
        return
    if settings.tls_cert is None:
        _log.warning("%s is not the loopback address, and without --tls-cert nothing is encrypted", settings.host)
    if settings.callers is None and settings.tls_client_ca is None:
        may = "call and change what is served" if settings.anonymous_role == "admin" else "call"
        _log.warning("whoever reaches %s may %s: neither --callers nor --tls-client-ca is set", settings.host, may)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
