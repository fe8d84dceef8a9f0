"""Mails as they come in, for tests: made, stored, handled."""

from __future__ import annotations

from collections.abc import Sequence
from email.message import EmailMessage
from io import BytesIO
from typing import Any

from sqlalchemy import select

from conftest import Api
from deskplane.app import Desk
from deskplane.desks.models import Department
from deskplane.mail import incoming, message_ids
from deskplane.mail.incoming import Arrival
from deskplane.mail.intake import Intake

MAILBOX = "imap.example.org desk@example.org INBOX"
KIM = "Kim Lee <kim@acme.example>"
_counts = {"uid": 0}


def letter(
    subject: str = "The printer is on fire",
    text: str | None = "Please help.",
    *,
    sender: str = KIM,
    html: str | None = None,
    files: Sequence[tuple[str, str, bytes]] = (),
    headers: dict[str, str] | None = None,
    message_id: str | None = None,
) -> bytes:
    """A mail as a well-behaved program writes it. `files` are names, types and contents."""
    _counts["uid"] += 1
    found = EmailMessage()
    found["From"], found["To"], found["Subject"] = sender, "desk@example.org", subject
    found["Message-ID"] = message_id or f"<{_counts['uid']}@acme.example>"
    found["Return-Path"] = "<bounce-to@acme.example>"
    for name, value in (headers or {}).items():
        del found[name]
        found[name] = value
    found.set_content(text if text is not None else "")
    if html is not None:
        found.add_alternative(html, subtype="html")
    for name, kind, data in files:
        found.add_attachment(data, *kind.split("/", 1), filename=name)
    return bytes(found)


def department(api: Api, name: str = "Service Desk", **fields: Any) -> str:
    """The id of a department."""
    found: str = api.apply("departments", name=name, **fields)["after"]["id"]
    return found


def stored(desk: Desk, raw: bytes, department: str = "Service Desk", *, whole: bool = True) -> int | None:
    """Stores a mail as the fetching does, and answers its id."""
    _counts["uid"] += 1

    def store(session: Any) -> int | None:
        row = session.execute(select(Department.id).where(Department.name == department)).scalar_one()
        arrival = Arrival(row, MAILBOX, 1, _counts["uid"], len(raw), whole, BytesIO(raw))
        return incoming.store(desk.automation(session), arrival)

    return desk.database.run(store, write=True)


def received(desk: Desk, raw: bytes, department: str = "Service Desk", **options: Any) -> dict[str, Any]:
    """Stores and handles a mail, and answers its row."""
    mail_id = stored(desk, raw, department)
    assert mail_id is not None, "it was delivered before"
    Intake(desk.database, desk.automation, **options).handle(mail_id)
    return row_of(desk, mail_id)


def row_of(desk: Desk, mail_id: int) -> dict[str, Any]:
    with desk.database.transaction(write=False) as session:
        return dict(session.execute(select(incoming.MAILS).where(incoming.M.id == mail_id)).mappings().one())


def signed_id(desk: Desk, number: str) -> str:
    """The Message-ID of a mail that the desk sent about a ticket."""
    return message_ids.make(desk.vault, number, "reply", "example.org")
