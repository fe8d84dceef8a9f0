"""Mails that the desk writes by itself to whom a ticket is of: the answer to a mail that opened it, and the reminder to
who fell silent. Each is sent once a ticket, and the answers are capped (`loops.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import exists, or_, select

from deskplane.desks.models import Department
from deskplane.kernel.work import Work
from deskplane.mail import addresses, composing, loops, notifications, texts
from deskplane.mail.addresses import Person
from deskplane.mail.composing import About, M
from deskplane.mail.texts import Told
from deskplane.people.models import User
from deskplane.tickets import queries
from deskplane.tickets.draft import Draft
from deskplane.tickets.models import SILENT, Ticket

AT_ONCE = 20
"""Reminders that are composed in one transaction, so that it is short."""


def auto_reply(work: Work, ticket: Draft, to: str, *, answers: str | None = None, thread: Sequence[str] = ()) -> bool:
    """Answers the mail that opened a ticket: with the department's text, where that is enabled; else, where the
    customer has `email_notifications`, as other new tickets are confirmed. Composed in the caller's transaction.

    `to` is the address that the mail came from; `answers` its Message-ID, and `thread` its References. Answers whether
    there is an answer: not without a server, not a second time for the ticket, and not beyond the caps of `loops`. Who
    calls it has seen that the mail was not automatic itself.
    """
    columns = ticket.columns
    about = About(columns["id"], ticket.number, columns["customer_id"], columns["department_id"])
    if not composing.can_send(work, about) or _answered(work, about) or loops.is_capped(work, to, columns["id"]):
        return False
    person = addresses.contact(work, columns["contact_id"]) if columns["contact_id"] is not None else None
    if person is None or person.key != to.casefold():
        person = Person(to, "", to)
    told = Told(
        number=ticket.number,
        title=columns["title"],
        status=ticket.status,
        priority=ticket.priority,
        url=f"{queries.address(work)}/tickets/{ticket.number}",
        customer=ticket.names["customer"] or "",
        department=ticket.names["department"] or "",
        reporter=person.name or person.address,
    )
    text = _text(work, about.department_id, "auto_reply")
    features = notifications.features(work, about.customer_id)
    if text is not None:
        content = texts.of_department(told, text["subject"], text["body_html"])
    elif features.get("email_notifications"):
        own = texts.from_template(work, told, "ticket_created", about.customer_id or "")
        content = (own if features.get("email_templates") else None) or texts.to_reporter(told, "ticket_created")
    else:
        return False
    composing.compose(
        work, about, "auto-reply", person, content, event="ticket_created", answers=answers, thread=thread
    )
    return True


def _text(work: Work, department_id: str | None, which: str) -> dict[str, Any] | None:
    """A department's automatic text, if it is enabled."""
    if department_id is None:
        return None
    found = work.session.execute(select(getattr(Department, which)).where(Department.id == department_id)).scalar()
    return found if found and found.get("enabled") else None


def _answered(work: Work, about: About) -> bool:
    statement = select(M.id).where(M.ticket_id == about.ticket_id, M.purpose == "auto-reply").limit(1)
    return work.session.execute(statement).first() is not None


def remind(work: Work) -> bool:
    """Reminds some of those who fell silent, once a ticket, and answers whether there may be more. Silent is who was
    written to last, so many days ago, on a ticket that is open."""
    for department_id in work.session.execute(select(Department.id).order_by(Department.name)).scalars().all():
        text = _text(work, department_id, "follow_up")
        if text is None or not composing.can_send(work, About(department_id=department_id)):
            continue
        rows = _silent(work, department_id, text["after_days"])
        for row in rows:
            _remind(work, row, text)
        if len(rows) == AT_ONCE:
            return True
    return False


def _silent(work: Work, department_id: str, days: int) -> Sequence[Any]:
    statement = select(
        Ticket.id, Ticket.prefix, Ticket.sequence, Ticket.title, Ticket.status, Ticket.customer_id,
        Ticket.department_id, Ticket.contact_id, Ticket.reporter_id,
    ).where(
        SILENT,
        Ticket.department_id == department_id,
        Ticket.last_contact_at <= work.clock.now() - timedelta(days=days),
        ~exists().where(M.ticket_id == Ticket.id, M.purpose == "follow-up"),
        # who has no address would come again and again
        or_(Ticket.contact_id.is_not(None), exists().where(User.id == Ticket.reporter_id, *addresses.REACHED)),
    )  # fmt: skip
    return work.session.execute(statement.order_by(Ticket.last_contact_at, Ticket.id).limit(AT_ONCE)).all()


def _remind(work: Work, row: Any, text: dict[str, Any]) -> None:
    to = addresses.reporter(work, row.contact_id, row.reporter_id)
    assert to is not None, "only those who have an address are looked for"
    about = About(row.id, queries.number_text(row.prefix, row.sequence), row.customer_id, row.department_id)
    told = Told(number=about.number or "", title=row.title, status=row.status, priority="", url="")
    content = texts.of_department(told, text["subject"], text["body_html"])
    composing.compose(work, about, "follow-up", to, content)
