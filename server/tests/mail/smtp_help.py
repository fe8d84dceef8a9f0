"""An SMTP server for tests, with certificates of its own, and short ways to say what the tests of mail say often."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from conftest import Api
from deskplane.app import Desk, make_worker


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def certificate(folder: Path, name: str = "localhost") -> Path:
    """A certificate that signs itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{name}.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@dataclass
class Taken:
    """A mail that the server took."""

    sender: str
    recipient: str
    raw: bytes
    login: str | None
    protected: bool

    @property
    def mail(self) -> EmailMessage:
        """The mail, as a program would read it."""
        found = message_from_bytes(self.raw, policy=default)
        assert isinstance(found, EmailMessage)
        return found

    def body(self, kind: str = "plain") -> str:
        """Its text, or its HTML."""
        part = self.mail.get_body((kind,))
        assert part is not None
        return str(part.get_content()).replace("\r\n", "\n")


@dataclass
class Mailbox:
    """What a server took, and what it says to whom. `answers` are said to the next recipients or contents instead of
    yes, one after the other; `before` runs before a mail is taken."""

    port: int = 0
    taken: list[Taken] = field(default_factory=list)
    to_recipient: list[str] = field(default_factory=list)
    to_content: list[str] = field(default_factory=list)
    before: Callable[[], None] | None = None

    async def handle_RCPT(
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.to_recipient and (answer := self.to_recipient.pop(0)):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        if self.to_content and (answer := self.to_content.pop(0)):
            return answer
        content = envelope.content
        assert isinstance(content, bytes)
        login = session.auth_data.decode() if isinstance(session.auth_data, bytes) else None
        for recipient in envelope.rcpt_tos:
            self.taken.append(Taken(envelope.mail_from or "", recipient, content, login, session.ssl is not None))
        if self.before is not None:
            self.before()
        return "250 taken"

    def to(self, recipient: str) -> list[Taken]:
        """What was taken for an address, in its order."""
        return [taken for taken in self.taken if taken.recipient == recipient]

    def pairs(self) -> list[tuple[str, str]]:
        """Recipient and subject of everything that was taken, sorted."""
        return sorted((taken.recipient, str(taken.mail["Subject"])) for taken in self.taken)


@contextmanager
def smtp_server(
    tls: Path | None = None,
    *,
    wrapped: bool = False,
    users: dict[str, str] | None = None,
    **options: Any,
) -> Iterator[Mailbox]:
    """A server on a port of this machine. With `tls`, the file of a certificate, it demands STARTTLS, or is `wrapped`
    in TLS from the start; with `users` it demands a login."""
    box = Mailbox(port=free_port())

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        name = data.login.decode()
        known = (users or {}).get(name) == data.password.decode()
        return AuthResult(success=known, handled=False, auth_data=data.login)

    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
    more: dict[str, Any] = dict(options)
    if context is not None and not wrapped:
        more |= {"tls_context": context, "require_starttls": True}
    if users is not None:
        more |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": not wrapped}
    controller = Controller(box, hostname="127.0.0.1", port=box.port, ssl_context=context if wrapped else None, **more)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


def desk_smtp(api: Api, box: Mailbox, **more: Any) -> None:
    """Makes a server the desk's own, without TLS."""
    for key, value in {
        "host": "127.0.0.1",
        "port": box.port,
        "tls": "none",
        "from": "desk@example.org",
        **more,
    }.items():
        api.apply("settings", key=f"smtp.{key}", value=value)


def plain(box: Mailbox, **more: Any) -> dict[str, Any]:
    """The field `smtp` of a department that sends through a server without TLS."""
    return {"server": "127.0.0.1", "port": box.port, "tls": "none", "from_address": "team@example.org", **more}


def drain(desk: Desk) -> None:
    """Does everything that waits."""
    worker = make_worker(desk)
    while worker.drain_once():
        pass


def mails(api: Api, query: str = "") -> list[dict[str, Any]]:
    """The mails that the API tells of, oldest first."""
    found: list[dict[str, Any]] = api.call("GET", f"/mails{query}")["items"]
    return found[::-1]
