"""What speaks TLS before a PostgreSQL that does not, as a pooler does; and certificates made for it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
"""PostgreSQL, "Frontend/Backend Protocol", SSLRequest."""


@dataclass(frozen=True)
class Authority:
    """An authority's certificate, and what it signed: a certificate with its key, in files."""

    root: Path
    certificate: Path


def authority(directory: Path, name: str, host: str) -> Authority:
    """Makes an authority that signs a certificate for a host, a name or an address."""
    now = datetime.now(UTC)

    def made(
        subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey, *, is_root: bool
    ) -> bytes:
        try:
            general: x509.GeneralName = x509.IPAddress(ip_address(subject))
        except ValueError:
            general = x509.DNSName(subject)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([general]), critical=False)
        )
        return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root, certificate = directory / f"{name}-root.pem", directory / f"{name}.pem"
    root.write_bytes(made(name, root_key, name, root_key, is_root=True))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate.write_bytes(private + made(host, key, name, root_key, is_root=False))
    return Authority(root, certificate)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def tls_front(behind: str, certificate: Path | None) -> Iterator[int]:
    """Listens on 127.0.0.1 before the socket of a PostgreSQL, and yields the port; without a certificate it says that
    it has no TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate is not None:
        context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))
    sockets: list[socket.socket] = [listener]

    def serve(client: socket.socket) -> None:
        try:
            found: socket.socket = client
            if client.recv(8, socket.MSG_PEEK) == _SSL_REQUEST:
                client.recv(8)
                client.sendall(b"N" if certificate is None else b"S")
                if certificate is not None:
                    found = context.wrap_socket(client, server_side=True)
            server = socket.socket(socket.AF_UNIX)
            server.connect(behind)
            sockets.extend([found, server])
            threading.Thread(target=_pass_on, args=(found, server), daemon=True).start()
            _pass_on(server, found)
        except OSError:  # whoever does not like the certificate hangs up
            client.close()

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _address = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
