"""The contract of the public API: what of a ticket concerns a customer's own programs."""

from __future__ import annotations

from marshmallow import Schema

from deskplane.kernel.compound import SetOf
from deskplane.kernel.fields import Choice, Moment, Text, Whole
from deskplane.kernel.pagination import MAX_LIMIT
from deskplane.kernel.words import PRIORITIES, STATUSES
from deskplane.tickets.schemas import TITLE_LENGTH, Reference

SORTS = ("-updated_at", "updated_at", "-created_at", "created_at")


class PublicFields(Schema):
    """What may be set."""

    title = Text("What it is about, in a line.", longest=TITLE_LENGTH, shortest=1, required=True)
    description = Text("The whole of it, in Markdown.", longest=60_000, block=True, default="")
    type = Reference("Name of the ticket type.", "ticket_type")
    priority = Choice("How much it matters.", PRIORITIES, default="medium")
    status = Choice("Where it stands.", STATUSES, default="open")


class PublicCreate(PublicFields):
    """A new ticket."""

    customer = Reference("Name of the customer; may be left out where the key's user works for one only.", "customer")

    always = ("title",)


class PublicPatch(PublicFields):
    """A change."""


class PublicTicket(PublicCreate):
    """A ticket, as it is answered."""

    number = Text("Number of the ticket, such as C(TKT-000123).", read_only=True)
    reporter = Text("Username of who reported it.", read_only=True)
    created_at = Moment("When it was opened.", read_only=True)
    updated_at = Moment("When it was last changed.", read_only=True)
    resolved_at = Moment("When it was resolved.", read_only=True)
    closed_at = Moment("When it was closed or cancelled.", read_only=True)
    url = Text("Address of the ticket.", read_only=True)


class PublicList(Schema):
    """Filters, order and page of the list."""

    limit = Whole("How many tickets a page has.", least=1, most=MAX_LIMIT, default=50)
    cursor = Text("The next_cursor of the page before.", longest=2000)
    sort = Choice("Order.", SORTS, default="-updated_at")
    status = SetOf("One of these statuses.", Choice("A status.", STATUSES), default=None)
    customer = Text("Name of the customer.", longest=120)
    updated_since = Moment("Changed at this instant or later.")


class UsageList(Schema):
    """Since when."""

    since = Text("A day, such as C(2026-03-01).", longest=10, pattern=r"\d{4}-\d{2}-\d{2}", pattern_hint="2026-03-01")


class UsageEntry(Schema):
    """What one key made on one day."""

    day = Text("The day, in UTC.", read_only=True)
    key_id = Text("Id of the API key.", read_only=True)
    username = Text("Whose key it is.", read_only=True)
    requests = Whole("How many requests it made.", read_only=True)
    refused = Whole("How many of them were refused, since the minute's were used up.", read_only=True)
