"""To which ticket a mail belongs (domain: mail). A mail says what it answers; only what we signed ourselves is
believed, and a number in the subject only of somebody who takes part in that ticket anyway."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import select

from deskplane.customers.models import Contact
from deskplane.kernel.work import Work
from deskplane.mail import message_ids
from deskplane.people.models import User
from deskplane.tickets import queries, service
from deskplane.tickets.draft import Draft
from deskplane.tickets.models import History, Ticket, TicketMessage

_TAG = re.compile(r"\[([A-Za-z][A-Za-z0-9]{0,9}-[0-9]{1,9})\]")
_MOST_TAGS = 5
_MOST_MERGES = 10


def ticket_of(work: Work, answered: Sequence[str], subject: str, sender: str) -> Draft | None:
    """The ticket that a mail belongs to, locked; None where it belongs to none. `answered` are the Message-IDs that it
    answers."""
    for made in message_ids.find(work.vault, " ".join(answered)):
        found = _load(work, made.ticket) if made.ticket else None
        if found is not None:
            return found
    for number in _TAG.findall(subject)[:_MOST_TAGS]:
        found = _load(work, number)
        if found is not None and takes_part(work, found, sender):
            return found
    return None


def signed_ticket(work: Work, answered: Sequence[str]) -> Draft | None:
    """The ticket of the first of our own Message-IDs, locked."""
    return ticket_of(work, answered, "", "")


def _load(work: Work, number: str) -> Draft | None:
    """A ticket, or the one that it was merged into."""
    for _ in range(_MOST_MERGES):
        parts = queries.parse_number(number)
        found = service.load(work, Ticket.prefix == parts[0], Ticket.sequence == parts[1]) if parts else []
        if not found:
            return None
        statement = (
            select(History.new)
            .where(History.ticket_id == found[0].columns["id"], History.field == "merged_into")
            .order_by(History.id.desc())
        )
        merged = work.session.execute(statement.limit(1)).scalar()
        if merged is None:
            return found[0]
        number = merged["ticket"]
    return None


def takes_part(work: Work, ticket: Draft, address: str) -> bool:
    """Whether an address is that of the ticket's contact, reporter, assignee or owner, or of somebody whose mail is on
    the ticket already."""
    columns = ticket.columns
    contact = select(Contact.id).where(Contact.id == columns["contact_id"], Contact.email == address)
    if work.session.execute(contact).first() is not None:
        return True
    people = {columns[f"{name}_id"] for name in ("reporter", "assignee", "owner")} - {None}
    users = select(User.email).where(User.id.in_(people), User.deleted_at.is_(None))
    if address in {(email or "").lower() for email in work.session.execute(users).scalars()}:
        return True
    written = select(TicketMessage.id).where(
        TicketMessage.ticket_id == columns["id"], TicketMessage.author == address, TicketMessage.direction == "inbound"
    )
    return work.session.execute(written.limit(1)).first() is not None
