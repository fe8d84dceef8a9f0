"""The endpoints of links between tickets, and of references to what is outside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from marshmallow import Schema
from sqlalchemy import Table

from deskplane.kernel import pagination
from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.etag import etag, require_match
from deskplane.kernel.fields import Choice, Moment, Text, Whole
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.kernel.problem import invalid_field, not_found
from deskplane.tickets import links, outside, queries, service
from deskplane.tickets.announcements import announce
from deskplane.tickets.draft import Draft
from deskplane.tickets.models import TicketLink
from deskplane.tickets.schemas import LINK_TYPES, MOST_REFERENCES, DeclaredReference, Page

ONE = "/api/v1/tickets/{number}"
ACCESS = ("tickets:access",)
_LINK_ID = cast(Table, TicketLink.__table__).c.id


class LinkEntry(Schema):
    """A link, as the ticket shows it."""

    type = Choice("What the ticket is to the other one.", LINK_TYPES, read_only=True)
    ticket = Text("Number of the other ticket.", read_only=True)
    title = Text("Its title.", read_only=True)
    status = Text("Its status.", read_only=True)
    url = Text("Its address.", read_only=True)


class ReferenceFields(DeclaredReference):
    """A reference to something outside of the desk."""

    always = ("type", "title", "url")


class ReferenceEntry(ReferenceFields):
    """A reference, as it is answered."""

    id = Whole("Its id.", read_only=True)
    author = Text("Who added it.", read_only=True)
    created_at = Moment("When.", read_only=True)


def _row(call: Call) -> Any:
    row = queries.by_number(call, call.path["number"])
    if row is None:
        raise not_found()
    return row


def listing(call: Call) -> Reply:
    """GET /tickets/{number}/links"""
    row = _row(call)
    order = pagination.Order(((_LINK_ID, False),), lambda found: [found.id])
    scope, limit, vault = f"links {row.t_id}", call.query["limit"], call.vault
    statement = links.seen_statement_of(call, row.t_id)
    statement = pagination.page(statement, order, scope=scope, cursor=call.query["cursor"], limit=limit, vault=vault)
    rows, following = pagination.cut(
        call.session.execute(statement).all(), order, scope=scope, limit=limit, vault=vault
    )
    address = queries.address(call)
    items = []
    for found in rows:
        number = queries.number_text(found.prefix, found.sequence)
        shown = {"type": found.type, "ticket": number, "title": found.title, "status": found.status}
        items.append({**shown, "url": f"{address}/tickets/{number}"})
    return Reply({"items": items, "next_cursor": following})


def _both(call: Call) -> tuple[Draft, str, Draft]:
    type_ = call.path["type"]
    links.queue(call, [type_])
    draft, other = links.load_both(call, call.path["number"], call.path["other"])
    if type_ not in LINK_TYPES:
        raise invalid_field("type", "not_allowed", f"must be one of {', '.join(LINK_TYPES)}", list(LINK_TYPES))
    require_match(call.if_match, draft.columns["version"])
    return draft, type_, other


def _tag(draft: Draft) -> dict[str, str]:
    return {"ETag": etag(draft.columns["version"])}


def put(call: Call) -> Reply:
    """PUT /tickets/{number}/links/{type}/{other}"""
    draft, type_, other = _both(call)
    if links.add(call, draft, type_, other):
        links.touch(call, draft, other)
        announce(call, "ticket_updated", draft)
    return Reply(None, 204, _tag(draft))


def delete(call: Call) -> Reply:
    """DELETE /tickets/{number}/links/{type}/{other}"""
    draft, type_, other = _both(call)
    if links.remove(call, draft, type_, other):
        links.touch(call, draft, other)
        announce(call, "ticket_updated", draft)
    return Reply(None, 204, _tag(draft))


def references(call: Call) -> Reply:
    """GET /tickets/{number}/references"""
    row = _row(call)
    return Reply({"items": [outside.shown(one) for one in outside.of_ticket(call, row.t_id)]})


def add_reference(call: Call) -> Reply:
    """POST /tickets/{number}/references"""
    draft = service.load_by_number(call, call.path["number"])
    require_match(call.if_match, draft.columns["version"])
    reference, is_new = outside.add(call, draft, call.body)
    if is_new:
        links.touch(call, draft)
        announce(call, "ticket_updated", draft)
    return Reply(outside.shown(reference), 201 if is_new else 200, _tag(draft))


def remove_reference(call: Call) -> Reply:
    """DELETE /tickets/{number}/references/{id}"""
    draft = service.load_by_number(call, call.path["number"])
    require_match(call.if_match, draft.columns["version"])
    given = call.path["id"]
    if not (given.isascii() and given.isdecimal() and len(given) <= 18):
        raise not_found()
    outside.remove(call, draft, int(given))
    links.touch(call, draft)
    announce(call, "ticket_updated", draft)
    return Reply(None, 204, _tag(draft))


def operations() -> Iterable[Operation]:
    """Every operation on links and references."""
    link = object_schema(described(LinkEntry()), answer=True)
    reference = object_schema(described(ReferenceEntry()), answer=True)
    page = pagination.page_schema(link)
    whole = {
        "type": "object",
        "required": ["items"],
        "properties": {"items": {"type": "array", "items": reference, "maxItems": MOST_REFERENCES}},
    }
    common: dict[str, Any] = {"tag": "tickets", "permission": ACCESS}
    yield Operation(
        "list_ticket_links",
        "GET",
        f"{ONE}/links",
        listing,
        "List what a ticket has to do with others",
        query=Page,
        answers={200: ("A page.", page)},
        description="Links to tickets that the caller may not see are not among them.",
        **common,
    )
    one_link = f"{ONE}/links/{{type}}/{{other}}"
    yield Operation(
        "put_ticket_link",
        "PUT",
        one_link,
        put,
        "Link a ticket to another",
        write=True,
        etag=True,
        answers={204: ("They are linked.", None)},
        description=f"`type` is one of {', '.join(LINK_TYPES)}: what the first ticket is to the other. Both show the "
        "link, each from its side. A link that is there already is no change.",
        **common,
    )
    yield Operation(
        "delete_ticket_link",
        "DELETE",
        one_link,
        delete,
        "Take a link away",
        write=True,
        etag=True,
        answers={204: ("They are not linked so.", None)},
        **common,
    )
    yield Operation(
        "list_ticket_references",
        "GET",
        f"{ONE}/references",
        references,
        "List what a ticket refers to outside of the desk",
        answers={200: ("All of them.", whole)},
        **common,
    )
    yield Operation(
        "add_ticket_reference",
        "POST",
        f"{ONE}/references",
        add_reference,
        "Let a ticket refer to something outside of the desk",
        body=ReferenceFields,
        write=True,
        etag=True,
        idempotency=True,
        answers={200: ("It did already.", reference), 201: ("It does.", reference)},
        **common,
    )
    yield Operation(
        "delete_ticket_reference",
        "DELETE",
        f"{ONE}/references/{{id}}",
        remove_reference,
        "Take a reference away",
        write=True,
        etag=True,
        answers={204: ("It is gone.", None)},
        **common,
    )
