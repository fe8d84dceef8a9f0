"""What mails say: the desk's own words, and the templates of `email_template` in their place.

Placeholders are filled in once, and what they are filled with is text wherever it comes to stand: nothing in it is
evaluated, in HTML it is escaped, and in a subject it is one line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from sqlalchemy import or_, select

from deskplane.desks.models import EmailTemplate
from deskplane.desks.templates import PLACEHOLDERS
from deskplane.kernel.markup import clean_html, html_of, text_of
from deskplane.kernel.placeholders import PLACEHOLDER, fill
from deskplane.kernel.words import EVENTS
from deskplane.kernel.work import Work
from deskplane.mail.addresses import one_line

LONGEST_SUBJECT = 900


@dataclass(frozen=True)
class Content:
    """What a mail says. `html` is sanitised."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True)
class Told:
    """A ticket as a mail tells of it. `number` is in every subject, so that an answer finds its ticket even where a
    program drops the headers that say so."""

    number: str
    title: str
    status: str
    priority: str
    url: str
    customer: str = ""
    department: str = ""
    assignee: str = ""
    reporter: str = ""
    comment: str = ""

    def values(self) -> dict[str, str]:
        """What the placeholders of `email_template` stand for."""
        found = {
            "ticket_number": self.number,
            "ticket_title": self.title,
            "ticket_status": self.status.replace("_", " "),
            "assignee_name": self.assignee,
            "reporter_name": self.reporter,
            "comment_body": self.comment,
        }
        assert set(found) == set(PLACEHOLDERS), "one value for each placeholder"
        return found


def subject_of(told: Told, text: str) -> str:
    """A subject with the ticket's number in it."""
    line = one_line(text)[:LONGEST_SUBJECT]
    return line if f"[{told.number}]" in line else f"[{told.number}] {line}"


_GREETING = "Hello ${reporter_name},\n\n"
_PEOPLE: Mapping[str, str] = {
    "ticket_created": _GREETING + "we have received your request. It is ${ticket_number}: ${ticket_title}.\n",
    "comment_added": "${comment_body}\n",
    "status_changed": _GREETING + "your request ${ticket_number}, ${ticket_title}, is now: ${ticket_status}.\n",
    "ticket_resolved": _GREETING
    + "we believe that your request ${ticket_number}, ${ticket_title}, is solved. Please confirm that it is, or answer "
    "this mail if it is not.\n",
    "ticket_closed": _GREETING + "your request ${ticket_number}, ${ticket_title}, is closed.\n",
}
_HOUSE: Mapping[str, tuple[str, str]] = {
    "ticket_created": ("New", "A ticket was opened."),
    "ticket_updated": ("Changed", "A ticket was changed."),
    "ticket_closed": ("Closed", "A ticket was closed."),
    "ticket_assigned": ("Assigned", "A ticket was assigned."),
    "comment_added": ("Comment", "Someone wrote on a ticket."),
    "sla_warning": ("Deadline is near", "A deadline of the service level comes near."),
    "sla_breached": ("Deadline has passed", "A deadline of the service level has passed."),
    "auto_closed": ("Closed by the clean-up", "A ticket was closed because nobody touched it."),
}
assert set(_HOUSE) == set(EVENTS), "every event has its words"


def to_reporter(told: Told, mail: str) -> Content:
    """The desk's own words to whom the ticket is of; `mail` is one of `desks.templates.MAILS`."""
    text = fill(_PEOPLE[mail], _greeted(told)).strip("\n")
    return Content(subject_of(told, told.title), text, html_of(text))


def _greeted(told: Told) -> dict[str, str]:
    values = told.values()
    return values | {"reporter_name": values["reporter_name"] or "there"}


def to_house(told: Told, event: str) -> Content:
    """The desk's own words to those who work on tickets."""
    word, sentence = _HOUSE[event]
    facts = {
        "Ticket": f"{told.number} {told.title}",
        "Status": told.status.replace("_", " "),
        "Priority": told.priority,
        "Assignee": told.assignee,
        "Customer": told.customer,
        "Department": told.department,
        "Reporter": told.reporter,
    }
    lines = [sentence, "", *(f"{name}: {one_line(value)}" for name, value in facts.items() if value)]
    lines += ["", told.comment] if told.comment else []
    lines += ["", told.url] if told.url.startswith("http") else []
    text = "\n".join(lines)
    return Content(subject_of(told, f"{word}: {told.title}"), text, html_of(text))


def from_template(work: Work, told: Told, mail: str, customer_id: str) -> Content | None:
    """What the customer's template for a mail says, or the one for all; None where there is neither."""
    rows = work.keep(("mail template", customer_id, mail), lambda: _load(work, mail, customer_id))
    if rows is None:
        return None
    subject, body_html, body_text = rows
    values = told.values()
    text = fill(body_text, values)
    html = clean_html(fill(body_html, values, in_html)) if body_html else html_of(text)
    return Content(subject_of(told, fill(subject, values)), text, html)


def _load(work: Work, mail: str, customer_id: str) -> tuple[str, str, str] | None:
    columns = (EmailTemplate.customer_id, EmailTemplate.subject, EmailTemplate.body_html, EmailTemplate.body_text)
    own = or_(EmailTemplate.customer_id == customer_id, EmailTemplate.customer_id.is_(None))
    rows = work.session.execute(select(*columns).where(EmailTemplate.event == mail, own)).all()
    if not rows:
        return None
    found = min(rows, key=lambda row: row.customer_id is None)  # the customer's own goes before the one for all
    return found.subject, found.body_html, found.body_text


def of_department(told: Told, subject: str, body_html: str) -> Content:
    """A department's automatic answer or reminder, with `ticket_number` and `subject` filled in."""
    values = {"ticket_number": told.number, "subject": told.title}
    html = clean_html(_lenient(body_html, values, html=True))
    return Content(subject_of(told, _lenient(subject, values) or told.title), text_of(html), html)


def _lenient(text: str, values: Mapping[str, str], *, html: bool = False) -> str:
    """Filled in as `fill` does. What is no placeholder of these stays: departments' texts are taken without a check."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2] or ""
        if name not in values:
            return found[0]
        return in_html(values[name]) if html else values[name]

    return PLACEHOLDER.sub(value, text)


def in_html(value: str) -> str:
    """Text as HTML that looks like it."""
    return escape(value).replace("\n", "<br>")
