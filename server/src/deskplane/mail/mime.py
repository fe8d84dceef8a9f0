"""A mail as the bytes that go over the wire (RFC 5322, 2045 to 2049)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from deskplane.mail.addresses import one_line
from deskplane.mail.message_ids import OWN_HEADER

# 7bit: nothing that a server without 8BITMIME would have to change, and break a signature by it
_POLICY = SMTP.clone(cte_type="7bit")
_TYPE = re.compile(r"(?!message/|multipart/)[a-z0-9][a-z0-9.+-]{0,58}/[a-z0-9][a-z0-9.+-]{0,58}")
MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>")
"""A Message-ID that can be repeated in a header as it is; what strangers send is not always one."""
MOST_ATTACHED = 20 * 1024 * 1024
"""Bytes of files that a mail takes along; many servers take 25 MB, of which base64 makes 35."""


@dataclass(frozen=True)
class File:
    """A file that a mail takes along."""

    name: str
    content_type: str
    data: bytes


@dataclass(frozen=True)
class Letter:
    """What a mail says, and to whom. `automatic`: nobody wrote it himself (RFC 3834). `left_out` are the names of files
    that were too large."""

    message_id: str
    purpose: str
    automatic: bool
    from_address: str
    from_name: str
    to_address: str
    to_name: str
    reply_to: str | None
    subject: str
    text: str
    html: str
    in_reply_to: str | None
    thread: Sequence[str]
    date: datetime
    files: Sequence[File] = ()
    left_out: Sequence[str] = ()

    def to_bytes(self, largest: int | None = None) -> bytes:
        """The mail; without its files where it would be larger than that."""
        whole = self._bytes(self.files, self.left_out)
        if largest is None or len(whole) <= largest or not self.files:
            return whole
        return self._bytes((), [*self.left_out, *(file.name for file in self.files)])

    def _bytes(self, files: Sequence[File], left_out: Sequence[str]) -> bytes:
        mail = EmailMessage(policy=_POLICY)
        mail["From"] = Address(_name(self.from_name), addr_spec=self.from_address)
        mail["To"] = Address(_name(self.to_name), addr_spec=self.to_address)
        if self.reply_to is not None:
            mail["Reply-To"] = Address(addr_spec=self.reply_to)
        mail["Date"] = format_datetime(self.date)
        if self.automatic:
            mail["Auto-Submitted"] = "auto-generated" if self.purpose != "auto-reply" else "auto-replied"
            mail["X-Auto-Response-Suppress"] = "All"
        mail[OWN_HEADER] = self.purpose
        note = "".join(f"\n\n[{name} is too large for a mail; it is on the ticket.]" for name in left_out)
        mail.set_content(_storable(self.text + note) + "\n")
        if self.html:
            html = _storable(self.html + "".join(f"<p>[{_escaped(line)}]</p>" for line in _lines(note)))
            mail.add_alternative(f"<!doctype html>\n<html><body>\n{html}\n</body></html>\n", subtype="html")
        for file in files:
            kind = file.content_type.lower()
            main, _, sub = (kind if _TYPE.fullmatch(kind) else "application/octet-stream").partition("/")
            mail.add_attachment(file.data, maintype=main, subtype=sub, filename=one_line(file.name) or "file")
        return self._first_headers() + mail.as_bytes()

    def _first_headers(self) -> bytes:
        """What the email package would change: it folds and encodes Message-IDs, and a subject that looks encoded would
        arrive as something else."""
        subject = one_line(self.subject)
        charset = "us-ascii" if subject.isascii() and "=?" not in subject else "utf-8"
        folded = Header(subject, charset, header_name="Subject").encode(linesep="\r\n")
        lines = [f"Message-ID: {self.message_id}", f"Subject: {folded}"]
        if self.in_reply_to is not None and MESSAGE_ID.fullmatch(self.in_reply_to):
            lines.append(f"In-Reply-To: {self.in_reply_to}")
        thread = [name for name in self.thread if MESSAGE_ID.fullmatch(name)]
        if thread:
            lines.append("References: " + "\r\n ".join(thread))
        return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def _name(text: str) -> str:
    """A name that nobody takes for an encoded one, which it would be read as."""
    return one_line(text).replace("=?", "= ?")


def _lines(note: str) -> list[str]:
    return [line.strip("[]") for line in note.split("\n") if line]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _storable(text: str) -> str:
    """Without halves of characters, which have no bytes."""
    return text.encode(errors="replace").decode()
