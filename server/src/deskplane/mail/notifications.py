"""Who is told of an event by mail, and how (domain: mail).

Of one event each person gets at most one mail of a kind, and a department's recipients none that they got already:
- what an agent wrote in public goes to whom the ticket is of, always;
- where the customer has `email_notifications`, his people are told of six events, in the words of `email_template`
  where he has `email_templates`;
- a department's recipients are told of the events in its list.

Nothing internal comes near here: what was said is looked up only where it was said in public.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import select

from deskplane.customers.models import Customer
from deskplane.desks.models import Department
from deskplane.kernel.markup import clean_html, text_of, to_html
from deskplane.kernel.work import Work
from deskplane.mail import addresses, composing, texts
from deskplane.mail.addresses import Person
from deskplane.mail.composing import About
from deskplane.mail.texts import Content, Told
from deskplane.outbox.service import Claimed
from deskplane.people.models import User
from deskplane.tickets import queries
from deskplane.tickets.announcements import ASIDE
from deskplane.tickets.models import Ticket, TicketMessage

_TICKET = select(
    Ticket.id, Ticket.customer_id, Ticket.department_id, Ticket.contact_id, Ticket.reporter_id, Ticket.source
)


class Said(NamedTuple):
    """What was said in public: the message's id, direction and author, and its words as text and as HTML."""

    id: int
    direction: str
    author: str
    text: str
    html: str


@dataclass
class Telling:
    """One event, and who has been told of it so far."""

    work: Work
    event: str
    changed: frozenset[str]
    about: About
    told: Told
    assignee: str | None
    reporter: Person | None
    source: str
    said: Said | None
    features: Mapping[str, bool]
    written_to: set[str] = field(default_factory=set)
    done: set[tuple[str, str]] = field(default_factory=set)

    def write(self, mail: str, to: Person, content: Content, purpose: str = "notification", **more: Any) -> None:
        """Composes a mail, unless he has one of this sort already."""
        if (mail, to.key) in self.done:
            return
        self.done.add((mail, to.key))
        self.written_to.add(to.key)
        composing.compose(self.work, self.about, purpose, to, content, event=mail, **more)

    def template(self, mail: str) -> Content | None:
        """What the customer's template for a mail says; None for the desk's own words."""
        customer_id = self.about.customer_id
        if customer_id is None or not self.features.get("email_templates"):
            return None
        return texts.from_template(self.work, self.told, mail, customer_id)


def fan_out(work: Work, message: Claimed) -> None:
    """Composes the mails that an event makes, in the transaction that is done with the event. A ticket that was deleted
    meanwhile has none."""
    telling = _telling(work, message.payload)
    if telling is None:
        return
    # the department may have moved on without a server; what an agent wrote is then kept as a mail that failed
    if telling.said is not None and telling.said.direction == "outbound":
        _reply(telling, telling.said)
    if not composing.can_send(work, telling.about):
        return
    if telling.features.get("email_notifications"):
        _tell_people(telling)
    _tell_recipients(telling)


def _telling(work: Work, payload: Mapping[str, Any]) -> Telling | None:
    number = queries.parse_number(payload["ticket_number"])
    assert number is not None, "announcements name a ticket by its number"
    statement = _TICKET.where(Ticket.prefix == number[0], Ticket.sequence == number[1])
    row = work.session.execute(statement).first()
    if row is None:
        return None
    aside = payload.get(ASIDE) or {}
    reporter = addresses.reporter(work, row.contact_id, row.reporter_id)
    said = _said(work, row.id, aside.get("message"))
    told = Told(
        number=payload["ticket_number"],
        title=payload["subject"],
        status=payload["status"],
        priority=payload["priority"],
        url=payload["url"],
        customer=payload["customer"] or "",
        department=payload["department"] or "",
        assignee=_assignee_name(work, payload["assigned_to"]),
        reporter=(reporter.name or reporter.address) if reporter else "",
        comment=said.text if said else "",
    )
    return Telling(
        work,
        payload["event"],
        frozenset(aside.get("changed") or ()),
        About(row.id, told.number, row.customer_id, row.department_id),
        told,
        payload["assigned_to"],
        reporter,
        row.source,
        said,
        features(work, row.customer_id),
    )


def features(work: Work, customer_id: str | None) -> Mapping[str, bool]:
    """What is switched on for a customer; nothing for none."""

    def load() -> Mapping[str, bool]:
        found: Mapping[str, bool] | None = work.session.execute(
            select(Customer.features).where(Customer.id == customer_id)
        ).scalar()
        return found or {}

    return work.keep(("features of customer", customer_id), load) if customer_id is not None else {}


def _assignee_name(work: Work, username: str | None) -> str:
    if username is None:
        return ""
    statement = select(User.first_name, User.last_name).where(User.username == username)
    row = work.session.execute(statement).first()
    return addresses.one_line(" ".join(row)) or username if row else username


def _said(work: Work, ticket_id: int, message_id: int | None) -> Said | None:
    """A message of the ticket that is not internal: asked here again, whatever the event says."""
    if message_id is None:
        return None
    row = work.session.execute(
        select(TicketMessage).where(
            TicketMessage.id == message_id, TicketMessage.ticket_id == ticket_id, TicketMessage.direction != "internal"
        )
    ).scalar_one_or_none()
    if row is None:
        return None
    html = to_html(row.body) if row.body_html is None else clean_html(row.body_html)
    text = text_of(html) if row.body_html is None else row.body
    return Said(row.id, row.direction, row.author, text, html)


def _reply(telling: Telling, said: Said) -> None:
    """What an agent wrote, to whom the ticket is of. Where the customer has a template for comments, it is put into
    that: a second mail would say the same."""
    to = telling.reporter
    if to is None or to.login == said.author:
        return
    content = telling.template("comment_added")
    if content is None:
        told = telling.told
        content = Content(texts.subject_of(told, told.title), said.text, said.html)
    telling.write("comment_added", to, content, "reply", automatic=False, message_id=said.id)


def _tell_people(telling: Telling) -> None:
    """H's six events."""
    event, reporter, said = telling.event, telling.reporter, telling.said
    work, about = telling.work, telling.about
    assigned = event in ("ticket_created", "ticket_assigned") or "assignee" in telling.changed
    if assigned and telling.assignee is not None:
        for person in addresses.user(work, User.username == telling.assignee):
            _tell_agent(telling, "ticket_assigned", person)
    if event == "ticket_created":
        # who opened it by mail is answered where the mail was read: only there one knows whether he is a machine
        if telling.source != "email":
            _tell_reporter(telling, "ticket_created")
        for person in addresses.queue(work, about.customer_id, about.department_id):
            if person.key not in telling.written_to:
                _tell_agent(telling, "ticket_created", person)
    if said is not None and said.direction == "inbound" and reporter is not None and said.author != reporter.login:
        _tell_reporter(telling, "comment_added", message_id=said.id)
    if event == "auto_closed" or "status" in telling.changed:
        status = telling.told.status
        mails = {"resolved": "ticket_resolved", "closed": "ticket_closed"}
        _tell_reporter(telling, mails.get(status, "status_changed"))


def _tell_reporter(telling: Telling, mail: str, **more: Any) -> None:
    if telling.reporter is not None:
        content = telling.template(mail) or texts.to_reporter(telling.told, mail)
        telling.write(mail, telling.reporter, content, **more)


def _tell_agent(telling: Telling, mail: str, person: Person) -> None:
    content = telling.template(mail) or texts.to_house(telling.told, mail)
    telling.write(mail, person, content)


def _tell_recipients(telling: Telling) -> None:
    """N's eight events, to a department's recipients."""
    for address in _recipients(telling.work, telling.about.department_id, telling.event):
        person = Person(address, "", "")
        if person.key not in telling.written_to:
            telling.write(telling.event, person, texts.to_house(telling.told, telling.event))


def _recipients(work: Work, department_id: str | None, event: str) -> Iterable[str]:
    def load() -> Mapping[str, Any]:
        found: Mapping[str, Any] | None = work.session.execute(
            select(Department.notifications).where(Department.id == department_id)
        ).scalar()
        return found or {}

    if department_id is None:
        return ()
    wanted = work.keep(("notifications of department", department_id), load)
    return wanted.get("recipients") or () if event in (wanted.get("events") or ()) else ()
