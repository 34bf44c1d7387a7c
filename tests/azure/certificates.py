"""A certificate authority and one server certificate, for every stand-in that speaks TLS."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme

NAMES = (
    "localhost",
    "127.0.0.1",
    "arm.azlocal.test",
    "login.azlocal.test",
    "registry.azlocal.test",
    "*.core.azlocal.test",
    "*.blob.core.azlocal.test",
)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM; what trusts `ca` trusts a server that shows `cert` under any of `NAMES`."""

    ca: Path
    cert: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """For the side that listens."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context

    def environment(self) -> dict[str, str]:
        """What makes OpenSSL, urllib and requests of another process trust `ca`, and it only."""
        return {"SSL_CERT_FILE": str(self.ca), "REQUESTS_CA_BUNDLE": str(self.ca)}


def write_certificates(folder: Path) -> Certificates:
    """Into `folder`: ca.pem, cert.pem, key.pem."""
    made = Certificates(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    authority = trustme.CA()
    server = authority.issue_cert(*NAMES)
    authority.cert_pem.write_to_path(made.ca)
    made.cert.write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
    server.private_key_pem.write_to_path(made.key)
    return made
