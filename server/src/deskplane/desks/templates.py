"""The kinds `template` and `email_template`: texts that people begin with, and those that the desk sends by itself."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema

from deskplane.desks.models import EmailTemplate, Template
from deskplane.kernel.fields import Choice, Name, Ref, Text
from deskplane.kernel.kind import Kind
from deskplane.kernel.placeholders import Templated

BODY: dict[str, Any] = {"longest": 60_000, "block": True}
MAILS = (
    "ticket_created",
    "ticket_assigned",
    "comment_added",
    "status_changed",
    "ticket_resolved",
    "ticket_closed",
)
"""The events of which the people of a customer are told by mail (domain: mail)."""
PLACEHOLDERS = (
    "ticket_number",
    "ticket_title",
    "ticket_status",
    "assignee_name",
    "reporter_name",
    "comment_body",
)

ANSWER_PLACEHOLDERS = (
    "ticket_number",
    "ticket_title",
    "ticket_status",
    "ticket_url",
    "assignee_name",
    "reporter_name",
    "author_name",
)
"""What is filled in where a template becomes a message."""


class TemplateSchema(Schema):
    """A text that people begin with."""

    name = Name("Name of the template; it identifies the template.")
    type = Choice("What it is meant for; it can be used for both.", ("email", "ticket"), default="email")
    subject = Text("Subject of the mail, or title of the ticket.", longest=500, default="")
    body_html = Text("Body as HTML.", default="", **BODY)
    body_text = Text("Body as plain text.", default="", **BODY)
    author = Ref("Username of who wrote it.", "user", on_delete="clear")


ASKING = {
    "name": "more details",
    "subject": "We need to know more",
    "body_text": "Hello,\nplease tell us what you did just before, and what you saw.\n",
    "author": "mia",
}

TEMPLATE = Kind(
    name="template",
    plural="templates",
    title="template",
    model=Template,
    schema=TemplateSchema,
    key=("name",),
    permission="templates:manage",
    short_description="Manage templates",
    description=["A template is a text that people begin an answer or a ticket with, and then change as they like."],
    notes=[
        "Where a template is sent as a message on a ticket, placeholders are filled in: "
        f"{', '.join(f'V(${{{name}}})' for name in ANSWER_PLACEHOLDERS)}. The form with double braces means the same "
        "to the server, but would be read by Jinja first.",
    ],
    examples=[{"name": "The answer that asks for more", "options": {**ASKING, "state": "present"}}],
    sample={"id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a26", "type": "email", "body_html": "", **ASKING},
)


def _filled_in(description: str, **common: Any) -> Templated:
    return Templated(f"{description} Placeholders are filled in.", placeholders=PLACEHOLDERS, **common)


class EmailTemplateSchema(Schema):
    """What a mail of the desk says."""

    customer = Ref(
        "Customer whose people are written to; null for all that have none of their own.",
        "customer",
        on_delete="cascade",
    )
    event = Choice("What the mail tells of.", MAILS, required=True)
    subject = _filled_in("Subject.", required=True, shortest=1, longest=500)
    body_html = _filled_in("Body as HTML; empty for one that is made of the text.", default="", **BODY)
    body_text = _filled_in("Body as plain text.", required=True, shortest=1, **BODY)


RESOLVED = {
    "customer": "ACME",
    "event": "ticket_resolved",
    "subject": "[${ticket_number}] is solved",
    "body_text": "Hello ${reporter_name},\n${ticket_title} is solved. Please tell us if it is not.\n",
}

EMAIL_TEMPLATE = Kind(
    name="email_template",
    plural="email_templates",
    title="mail template",
    model=EmailTemplate,
    schema=EmailTemplateSchema,
    key=("customer", "event"),
    permission="templates:manage",
    readers=(),
    short_description="Manage templates of notification mails",
    description=["A mail template says how the people of a customer, or of all customers, are told of an event."],
    notes=[
        f"Placeholders are {', '.join(f'V(${{{name}}})' for name in PLACEHOLDERS)}. The form with double braces means "
        "the same to the server, but would be read by Jinja first.",
        "Templates are used for customers whose feature C(email_templates) is on: the customer's own, else the one for "
        "all. Elsewhere mails have the desk's own words. What an agent writes is put into C(comment_added).",
    ],
    examples=[{"name": "How ACME is told that a ticket is solved", "options": {**RESOLVED, "state": "present"}}],
    sample={"id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a27", "body_html": "", **RESOLVED},
)
