"""A real IMAP server for tests: Dovecot, in a folder of its own, with a certificate made for it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from imapclient import IMAPClient

PASSWORD = "only-for-the-mailbox"
_CONFIG = """
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{base}/certificate.pem
ssl_key = <{base}/key.pem
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2
mail_location = maildir:{base}/mail/%u
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
maildir_copy_with_hardlinks = no
mail_fsync = never
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
mail_max_userip_connections = 100
auth_failure_delay = 0
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {base}/oauth2.conf
}}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={base}/mail/%u allow_all_users=yes
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def program() -> str:
    """Where dovecot is; installs it where it may."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    found = shutil.which("dovecot", path=path)
    if found is None:
        sys.path.insert(0, str(Path(__file__).parents[3] / "tools"))
        from toolchain import install_system_packages

        install_system_packages(["dovecot-imapd"], "the tests of mail need the program dovecot")
        found = shutil.which("dovecot", path=path)
    assert found is not None, "apt-get install dovecot-imapd"
    return found


class Dovecot:
    """One server. Mailboxes are made by delivering to them; they all have one password."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.port, self.tls_port = free_port(), free_port()
        self._make_certificate()
        me = pwd.getpwuid(os.getuid())
        owner = pwd.getpwnam("nobody") if os.getuid() == 0 else me
        self._owner = (owner.pw_uid, owner.pw_gid)
        (base / "mail").mkdir()
        os.chown(base / "mail", *self._owner)
        base.chmod(0o755)
        (base / "oauth2.conf").write_text("introspection_url = http://127.0.0.1:9/?token=\n")
        names = {"user": owner.pw_name, "group": "nogroup" if os.getuid() == 0 else str(me.pw_gid)}
        text = _CONFIG.format(
            base=base,
            uid=owner.pw_uid,
            gid=owner.pw_gid,
            imap=self.port,
            imaps=self.tls_port,
            password=PASSWORD,
            **names,
        )
        (base / "dovecot.conf").write_text(text)
        self._process = subprocess.Popen(
            [program(), "-F", "-c", str(base / "dovecot.conf")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._wait()

    def _make_certificate(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=10))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.certificate = self.base / "certificate.pem"
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (self.base / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def _wait(self) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as line:
                    if line.recv(10).startswith(b"* OK"):
                        return
            except OSError:
                time.sleep(0.05)
            assert self._process.poll() is None, (self._process.stdout or sys.stdin).read()
        raise AssertionError(f"dovecot does not answer: {(self.base / 'log').read_text()}")

    def make(self, user: str) -> None:
        """Makes a mailbox, if it is not there."""
        for name in ("", "cur", "new", "tmp"):
            folder = self.base / "mail" / user / name
            folder.mkdir(exist_ok=True)
            os.chown(folder, *self._owner)

    def deliver(self, user: str, *mails: bytes) -> None:
        """Puts mails into a mailbox, in their order."""
        self.make(user)
        for mail in mails:
            self._count = getattr(self, "_count", 0) + 1
            name = f"{1_700_000_000 + self._count}.M{self._count}P1.test"
            path = self.base / "mail" / user / "tmp" / name
            path.write_bytes(mail.replace(b"\r\n", b"\n"))
            os.chown(path, *self._owner)
            path.rename(self.base / "mail" / user / "new" / name)

    def flags(self, user: str) -> list[str]:
        """The flags of every mail, as Maildir writes them: `S` is seen; empty for one that nobody looked at."""
        folder = self.base / "mail" / user
        found = sorted([*(folder / "new").iterdir(), *(folder / "cur").iterdir()], key=lambda path: path.name)
        return [path.name.partition(":2,")[2] for path in found]

    def mark_seen(self, user: str) -> None:
        """Marks every mail as seen, as another program does."""
        self._mark(user, "add_flags")

    def mark_unseen(self, user: str) -> None:
        """Marks every mail as unseen again."""
        self._mark(user, "remove_flags")

    def _mark(self, user: str, how: str) -> None:
        with IMAPClient("127.0.0.1", self.port, ssl=False) as client:
            client.login(user, PASSWORD)
            client.select_folder("INBOX")
            getattr(client, how)(client.search("ALL"), [b"\\Seen"])

    def ask_about_tokens(self, address: str) -> None:
        """Has OAuth 2 tokens looked up there."""
        (self.base / "oauth2.conf").write_text(
            f"introspection_url = {address}\nintrospection_mode = get\nusername_attribute = username\n"
            "force_introspection = yes\nactive_attribute = active\nactive_value = true\n"
        )
        self._process.send_signal(signal.SIGHUP)
        time.sleep(0.3)

    def forget_numbers(self, user: str) -> None:
        """Gives the mails new numbers, under another UIDVALIDITY: as after a mailbox was restored."""
        folder = self.base / "mail" / user
        for path in [*folder.glob("dovecot.index*"), *folder.glob("dovecot-uidlist*")]:
            path.unlink()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
