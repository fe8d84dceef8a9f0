"""Mails as they came in: stored first, whole, before anything is made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, cast

from sqlalchemy import Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from deskplane.kernel.db import execute
from deskplane.kernel.work import Work
from deskplane.mail import headers
from deskplane.mail.incoming_models import ReceivedMail, ReceivedMailChunk
from deskplane.outbox import service as outbox

TOPIC = "mail.received"
"""Of the message by which a mail that was stored is handled; its payload has the mail's id as `mail`."""
CHUNK = 256 * 1024
"""Bytes of every chunk of a mail but the last."""
MAILS = cast(Table, ReceivedMail.__table__)
M = MAILS.c
_CHUNKS = cast(Table, ReceivedMailChunk.__table__)
_INSERT_CHUNK = insert(_CHUNKS)
_PIECE = select(_CHUNKS.c.data).where(
    _CHUNKS.c.mail_id == bindparam("of_mail"), _CHUNKS.c.position == bindparam("at_position")
)


@dataclass(frozen=True)
class Arrival:
    """A mail that was fetched. `size` is that of the mail, in bytes; not `whole`: the file has only its beginning."""

    department_id: str
    mailbox: str
    uid_validity: int
    uid: int
    size: int
    whole: bool
    file: IO[bytes]


def store(work: Work, arrival: Arrival) -> int | None:
    """Stores a mail, to be handled after the commit, and answers its id; None where it was delivered before."""
    arrival.file.seek(0)  # a transaction that lost a race is run anew
    start = arrival.file.read(CHUNK)
    message = headers.read(start)
    block, body = headers.split(start)
    digest = hashlib.sha256(body)
    for data in iter(partial(arrival.file.read, CHUNK), b""):
        digest.update(data)
    senders = headers.people_of(message, "from")
    paths = headers.all_of(message, "return-path").strip()
    row = {
        "department_id": arrival.department_id,
        "mailbox": arrival.mailbox,
        "uid_validity": arrival.uid_validity,
        "uid": arrival.uid,
        "identity": _identity(message, block),
        "body_hash": digest.hexdigest(),
        "message_id": headers.line(next(iter(headers.ids_of(message, "message-id")), ""), 1000),
        "return_path": headers.line(paths.strip("<> "), 254) if paths else None,
        "sender": senders[0].address if senders else None,
        "subject": headers.text_of(message, "subject", 300),
        "size": arrival.size,
        "whole": arrival.whole,
        "deliveries": 1,
        "state": "received",
        "received_at": work.clock.now(),
    }
    dialect: Any = sqlite if work.is_sqlite else postgresql
    statement = dialect.insert(MAILS).values(**row)
    key = ["department_id", "identity", "body_hash"]
    # known by its newest number: where the mailbox's numbers began anew, it is not fetched a third time
    again = {"deliveries": M.deliveries + 1, "uid_validity": arrival.uid_validity, "uid": arrival.uid}
    statement = statement.on_conflict_do_update(index_elements=key, set_=again)
    stored = execute(work.session, statement.returning(M.id, M.deliveries), {}).one()
    mail_id: int = stored.id
    if stored.deliveries > 1:
        return None
    arrival.file.seek(0)
    for position, data in enumerate(iter(partial(arrival.file.read, CHUNK), b"")):
        execute(work.session, _INSERT_CHUNK, {"mail_id": mail_id, "position": position, "data": data})
    queue(work, mail_id, arrival.department_id)
    return mail_id


def _identity(message: Any, block: bytes) -> str:
    """What tells a mail from others besides its body: its Message-ID; where it has none, who wrote it, when, and about
    what."""
    found = next(iter(headers.ids_of(message, "message-id")), None)
    parts = [headers.all_of(message, name) for name in ("message-id", "from", "date", "subject")]
    text = found or ("\n".join(parts) if any(parts) else None)
    data = block if text is None else text.encode("utf-8", "surrogateescape")
    return hashlib.sha256(data).hexdigest()


def queue(work: Work, mail_id: int, department_id: str | None) -> None:
    """Has a mail handled after the commit; those of one mailbox one after the other."""
    outbox.put(work, TOPIC, {"mail": mail_id}, lane=f"mail-in:{department_id}")


def end(work: Work, mail_id: int, state: str, reason: str | None = None, **more: Any) -> None:
    """Writes down what became of a mail."""
    values = {"state": state, "reason": reason, "handled_at": work.clock.now(), **more}
    work.session.execute(update(MAILS).where(M.id == mail_id).values(**values))


def raw(session: Session, mail_id: int) -> bytes:
    """A mail as it was stored."""
    statement = select(_CHUNKS.c.data).where(_CHUNKS.c.mail_id == mail_id).order_by(_CHUNKS.c.position)
    return b"".join(bytes(data) for data in session.execute(statement).scalars())


def reader(mail_id: int) -> Callable[[Session, int], bytes | None]:
    """What reads a mail piece by piece, for `Stream.piece`."""

    def piece(session: Session, position: int) -> bytes | None:
        found = execute(session, _PIECE, {"of_mail": mail_id, "at_position": position}).scalar()
        return None if found is None else bytes(found)

    return piece


def forget_deleted(work: Work) -> None:
    """Of mails whose ticket was deleted for good, keeps no more than what tells that they were delivered."""
    gone = select(M.id).where(
        M.state == "processed", M.ticket_id.is_(None), M.ticket_message_id.is_(None), M.sender.is_not(None)
    )
    ids = list(work.session.execute(gone.limit(1000)).scalars())
    if not ids:
        return
    work.session.execute(delete(_CHUNKS).where(_CHUNKS.c.mail_id.in_(ids)))
    bare = {"sender": None, "subject": "", "message_id": "", "return_path": None, "reason": "its ticket was deleted"}
    work.session.execute(update(MAILS).where(M.id.in_(ids)).values(**bare))
