"""Where the server is and what is shown to it, as flags."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path

from service.client import Client, token_in, trusting
from service.retry import Retry
from service.terminal.values import certificate, file

# There is no flag for a token: flags are in process listings and in the shell's history.
TOKEN = "SEQSTREAM_TOKEN"
ADDRESS = "SEQSTREAM_ADDRESS"
# Somebody looks on: a server that is not there is told after about three seconds.
IMPATIENT = Retry(attempts=6)


@dataclass(frozen=True, slots=True)
class Connection:
    """What it takes to make a client. It can be sent to another process."""

    address: str
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token_file: Path | None = None
    token: str | None = field(default=None, repr=False)
    tenant: str | None = None

    @property
    def encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return self.authority is not None

    def client(self, retry: Retry = IMPATIENT) -> Client:
        """Return a client. Raises ValueError and OSError."""
        credentials = None if self.authority is None else trusting(self.authority, self.certificate, self.key)
        token = self.token if self.token_file is None else token_in(self.token_file)
        return Client(self.address, retry, credentials=credentials, token=token, tenant=self.tenant)


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group("the server")
    default = os.environ.get(ADDRESS) or "localhost:50051"
    group.add_argument(
        "--address", default=default, metavar="HOST:PORT", help=f"where it is; default: {ADDRESS}, or localhost:50051"
    )
    group.add_argument("--tls-ca", type=certificate, metavar="FILE", help="speak TLS, and trust this certificate (PEM)")
    group.add_argument("--tls-cert", type=certificate, metavar="FILE", help="certificate to show (PEM), with --tls-key")
    group.add_argument("--tls-key", type=file, metavar="FILE", help="its key (PEM)")
    group.add_argument("--token-file", type=file, metavar="FILE", help=f"the token to show; default: {TOKEN}")
    group.add_argument("--tenant", metavar="NAME", help="for whom the call is; for admins, or where nobody is asked")


def connection(given: argparse.Namespace) -> Connection:
    """Return what the flags ask for. Raises ValueError."""
    if (given.tls_cert is None) != (given.tls_key is None) or (given.tls_cert is not None and given.tls_ca is None):
        raise ValueError("--tls-cert and --tls-key go together, and with --tls-ca")
    return Connection(
        address=given.address,
        authority=given.tls_ca,
        certificate=given.tls_cert,
        key=given.tls_key,
        token_file=given.token_file,
        token=os.environ.get(TOKEN) or None,
        tenant=given.tenant,
    )
