"""Certificates for tests: an authority, what it signs, and the files that servers and clients read."""

from pathlib import Path

import grpc
import trustme

from service.wire.tls import Tls


class Authority:
    """Signs certificates, and writes them where they are wanted."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self._ca = trustme.CA()
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def write(self, name: str, *names: str, common_name: str | None = None) -> tuple[Path, Path]:
        """Write the certificate for `names` and its key, each in one move. Returns their files."""
        signed = self._ca.issue_cert(*names, common_name=common_name)
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        for path, parts in ((certificate, signed.cert_chain_pems), (key, [signed.private_key_pem])):
            new = path.with_suffix(".new")
            new.write_bytes(b"".join(part.bytes() for part in parts))
            new.replace(path)
        return certificate, key

    def server(self, client_authority: Path | None = None) -> Tls:
        """The files of a server of this machine."""
        return Tls(*self.write("server", "localhost", "127.0.0.1"), client_authority)

    def trusted(self, certificate: Path | None = None, key: Path | None = None) -> grpc.ChannelCredentials:
        """What a client trusts, and shows."""
        shown = [None if path is None else path.read_bytes() for path in (key, certificate)]
        return grpc.ssl_channel_credentials(self.file.read_bytes(), *shown)
