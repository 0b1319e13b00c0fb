"""TLS of the server, whose certificates can be replaced while it runs: the next connection has the new ones.

Connections that there are keep theirs, and their streams go on.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from service.watched import Watched


class TlsError(ValueError):
    """The certificates cannot be used. The message names the files, and nothing that is in them."""


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the server's chain and key, and the certificates that vouch for clients, if these must show one."""

    certificate: Path
    key: Path
    client_authority: Path | None = None

    @property
    def files(self) -> list[Path]:
        return [path for path in (self.certificate, self.key, self.client_authority) if path is not None]


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """Return credentials that follow the files of `tls`. Raises TlsError."""
    try:
        watched = Watched(tls.files, lambda: _read(tls))
    except OSError as error:
        raise TlsError(f"{error.filename}: {error.strerror}") from None
    latest = first = watched.current()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        # At every new connection, on a thread of gRPC's. None keeps the sessions that clients may resume.
        nonlocal latest
        before, latest = latest, watched.current()
        return None if latest is before else latest

    asks = tls.client_authority is not None
    return grpc.dynamic_ssl_server_credentials(first, fetch, asks)  # type: ignore[arg-type]  # stubs do not know None


def _read(tls: Tls) -> grpc.ServerCertificateConfiguration:
    """Return what is in the files. gRPC itself would tell its own log at the first connection, and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsError(f"{tls.key}: is not the key of {tls.certificate}") from None
        raise TlsError(f"{tls.certificate}, {tls.key}: are no certificate and key in PEM, without a password") from None
    if tls.client_authority is None:
        return grpc.ssl_server_certificate_configuration([(tls.key.read_bytes(), tls.certificate.read_bytes())])
    try:
        context.load_verify_locations(tls.client_authority)
    except ssl.SSLError:
        raise TlsError(f"{tls.client_authority}: holds no certificate in PEM") from None
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    return grpc.ssl_server_certificate_configuration([pair], tls.client_authority.read_bytes())


def _no_password() -> str:
    """OpenSSL would ask the terminal."""
    return ""
