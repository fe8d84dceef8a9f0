"""Whom a mail goes to: the people of a ticket, with a name to write to them by."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from sqlalchemy import select

from deskplane.customers.models import Contact
from deskplane.desks.models import department_members
from deskplane.desks.queries import rights_of
from deskplane.kernel.work import Work
from deskplane.people.models import User
from deskplane.tickets import queries

_NO_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


REACHED = (User.enabled, User.deleted_at.is_(None), User.email.is_not(None))
"""The conditions on users who are written to."""


class Person(NamedTuple):
    """Someone with a mail address. `login` is what he writes messages as: his username, or the contact's address."""

    address: str
    name: str
    login: str

    @property
    def key(self) -> str:
        """The address as two spellings of it are the same: no mail program of today tells them apart."""
        return self.address.casefold()


def one_line(text: str) -> str:
    """The text without line breaks and control characters, as a header takes it."""
    return _NO_LINE.sub(" ", text.encode(errors="replace").decode()).strip()


def _name(row: Any) -> str:
    return one_line(f"{row.first_name} {row.last_name}")


def contact(work: Work, contact_id: str) -> Person | None:
    """A contact."""
    columns = (Contact.email, Contact.first_name, Contact.last_name)
    row = work.session.execute(select(*columns).where(Contact.id == contact_id)).first()
    return Person(row.email, _name(row), row.email) if row else None


def user(work: Work, *conditions: Any) -> list[Person]:
    """Users in use who have an address, by their names."""
    columns = (User.email, User.first_name, User.last_name, User.username)
    statement = select(*columns).where(*REACHED, *conditions)
    rows = work.session.execute(statement.order_by(User.username))
    return [Person(row.email, _name(row), row.username) for row in rows]


def reporter(work: Work, contact_id: str | None, reporter_id: str | None) -> Person | None:
    """Who is told of his ticket: the contact, else who opened it; None where he has no address."""
    if contact_id is not None:
        return contact(work, contact_id)
    found = user(work, User.id == reporter_id) if reporter_id is not None else []
    return found[0] if found else None


def queue(work: Work, customer_id: str | None, department_id: str | None) -> list[Person]:
    """The members of a ticket's department who may see the ticket."""
    if department_id is None:
        return []
    members = select(department_members.c.user_id).where(department_members.c.department_id == department_id)
    seeing = []
    for user_id in work.session.execute(members.order_by(department_members.c.user_id)).scalars():
        actor = rights_of(work, user_id)
        if actor is not None and queries.may_see(actor, customer_id, department_id):
            seeing.append(user_id)
    return user(work, User.id.in_(seeing)) if seeing else []
