"""Making a mail a row, in the transaction of what it tells of: it is sent if, and only if, that commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, insert, select, union_all

from deskplane.kernel.clock import rfc3339
from deskplane.kernel.db import execute
from deskplane.kernel.ids import new_id
from deskplane.kernel.work import Work
from deskplane.mail import message_ids, quotas
from deskplane.mail.addresses import Person
from deskplane.mail.incoming import M as R
from deskplane.mail.mime import MESSAGE_ID
from deskplane.mail.models import Mail
from deskplane.mail.servers import server_of
from deskplane.mail.texts import Content
from deskplane.outbox import service as outbox

TOPIC = "mail.send"
"""Of the outbox message that hands a mail over; its payload has `mail`, its id, and `since`, from when it is tried."""
HIDDEN = "⟦link⟧"
"""In a mail's text: where what is hidden goes in as it is sent."""
MOST_THREAD = 20
"""Message-IDs of a conversation that a mail names; the first one and the latest."""
_MAILS = cast(Table, Mail.__table__)
M = _MAILS.c
_INSERT = insert(_MAILS)


@dataclass(frozen=True)
class About:
    """What a mail is about, as far as it decides on how it goes: a ticket, its number, customer and department."""

    ticket_id: int | None = None
    number: str | None = None
    customer_id: str | None = None
    department_id: str | None = None


def can_send(work: Work, about: About) -> bool:
    """Whether there is a server through which such mail goes. Where there is none, the desk sends no mail by itself."""
    return server_of(work, about.department_id).host is not None


def compose(
    work: Work,
    about: About,
    purpose: str,
    to: Person,
    content: Content,
    *,
    event: str | None = None,
    automatic: bool = True,
    message_id: int | None = None,
    answers: str | None = None,
    thread: Sequence[str] = (),
    hidden: str | None = None,
) -> str:
    """Stores a mail, and answers its id. One that the customer has no room for is held; what is not `automatic` never
    is. `message_id` is the ticket's message that it carries; `answers` and `thread` are Message-IDs of mails that came
    in, which it answers. `hidden` takes the place of `HIDDEN` as the mail is sent; until then it is kept sealed, and
    nobody who may read mails sees it."""
    server = server_of(work, about.department_id)
    goes = quotas.count(work, about.customer_id, regardless=not automatic)
    earlier = _earlier(work, about, to)
    known = [name for name in [*thread, *earlier] if MESSAGE_ID.fullmatch(name)]
    known = list(dict.fromkeys(known))
    if answers is not None and not MESSAGE_ID.fullmatch(answers):
        answers = None
    row: dict[str, Any] = {
        "id": new_id(),
        "message_id": message_ids.make(work.vault, about.number, purpose, server.domain),
        "purpose": purpose,
        "event": event,
        "automatic": automatic,
        "ticket_id": about.ticket_id,
        "ticket_message_id": message_id,
        "customer_id": about.customer_id,
        "department_id": about.department_id,
        "recipient": to.address,
        "recipient_name": to.name,
        "subject": content.subject,
        "body_text": content.text,
        "body_html": content.html,
        "in_reply_to": answers or (known[-1] if known else None),
        "thread_ids": known if len(known) <= MOST_THREAD else [known[0], *known[1 - MOST_THREAD :]],
        "state": "queued" if goes else "held",
        "attempts": 0,
        "last_error": None,
        "created_at": work.clock.now(),
        "sent_at": None,
        "hidden": work.vault.seal(hidden) if hidden is not None else None,
    }
    execute(work.session, _INSERT, row)
    if goes:
        put(work, row["id"], about.department_id)
    elif about.customer_id is not None:
        quotas.note_held(work, about.customer_id)
    return str(row["id"])


def put(
    work: Work,
    mail_id: str,
    department_id: str | None,
    *,
    since: str | None = None,
    available_at: datetime | None = None,
) -> None:
    """Puts a mail into the outbox."""
    payload = {"mail": mail_id, "since": since or rfc3339(work.clock.now())}
    outbox.put(work, TOPIC, payload, lane=server_of(work, department_id).lane, available_at=available_at)


def _earlier(work: Work, about: About, to: Person) -> list[str]:
    """The Message-IDs of what this person was sent about the ticket, and wrote himself, oldest first: what his mail
    program knows."""
    if about.ticket_id is None:
        return []
    sent = select(M.message_id, M.created_at.label("at")).where(
        M.ticket_id == about.ticket_id, M.recipient == to.address
    )
    written = select(R.message_id, R.received_at).where(R.ticket_id == about.ticket_id, R.sender == to.key)
    both = union_all(sent, written).subquery()
    newest = select(both.c.message_id).order_by(both.c.at.desc(), both.c.message_id).limit(MOST_THREAD)
    return list(work.session.execute(newest).scalars())[::-1]


def release(work: Work) -> bool:
    """Lets some held mails go for which there is room; answers whether there may be more."""
    released = quotas.release(work)
    rows = work.session.execute(select(M.id, M.department_id).where(M.id.in_(released)).order_by(M.id))
    for row in rows.all() if released else ():
        put(work, row.id, row.department_id)
    return bool(released)
