"""The endpoints of a ticket's messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from marshmallow import Schema
from sqlalchemy import select

from deskplane.kernel import pagination
from deskplane.kernel.compound import SetOf, described, object_schema
from deskplane.kernel.fields import Choice, Moment, Text, Whole
from deskplane.kernel.markup import clean_html, text_of, to_html
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.kernel.problem import not_found
from deskplane.tickets import attachments, attachments_api, messages, service
from deskplane.tickets.belongings import page, ticket_row
from deskplane.tickets.models import Attachment, TicketMessage
from deskplane.tickets.schemas import Page, Reference

MESSAGES = "/api/v1/tickets/{number}/messages"
ACCESS = ("tickets:access",)
DIRECTIONS = ("internal", "outbound", "inbound")
_DIRECTION = (
    "V(internal) ones are read by those only who have C(tickets:read_internal), V(outbound) ones were written by the "
    "desk, V(inbound) ones to it."
)
_ID = re.compile("[0-9]{1,18}")
_LONGEST = 60_000
_MOST_IDS = 2**53


class MessageCreate(Schema):
    """A new message. It is written as one of `body`, `body_html` and `template`."""

    direction = Choice(
        f"{_DIRECTION} Without it, V(outbound) for who has C(tickets:comment) and C(tickets:read_internal), and "
        "V(inbound) for everyone else, who can write nothing but that.",
        DIRECTIONS,
    )
    body = Text("What is written, in Markdown.", longest=_LONGEST, shortest=1, block=True)
    body_html = Text("Or as HTML, of which what could do harm is left out.", longest=_LONGEST, shortest=1, block=True)
    template = Reference("Or the name of a template, whose placeholders are filled in.", "template")
    in_reply_to = Whole("Id of the message of the same ticket that it answers.", least=1, most=_MOST_IDS)
    attachments = SetOf(
        "Ids of files that were put on the ticket before, and become part of the message.",
        Text("An id.", longest=36, shortest=1),
        most=50,
    )


class MessageEntry(Schema):
    """One message."""

    id = Whole("Id of the message.", most=_MOST_IDS, read_only=True)
    direction = Choice(_DIRECTION, DIRECTIONS, read_only=True)
    body = Text("As it was written, in Markdown; where that was HTML, its plain text.", read_only=True)
    body_html = Text("As sanitised HTML.", read_only=True)
    body_text = Text("As plain text.", read_only=True)
    in_reply_to = Whole("Id of the message that it answers.", most=_MOST_IDS, read_only=True)
    origin_ticket = Text("Number of the ticket that it was written on, where that is another one.", read_only=True)
    author = Text("Who wrote it.", read_only=True)
    created_at = Moment("When.", read_only=True)


def _render(body: Mapping[str, Any]) -> None:
    """Done here, where nobody waits for a lock; both remember."""
    to_html(body.get("body") or "")
    clean_html(body.get("body_html") or "")


def _shown(number: str, row: TicketMessage, files: Mapping[int, Sequence[Attachment]]) -> dict[str, Any]:
    # what was sanitised when it was written is so again, by the sanitiser of today
    html = to_html(row.body) if row.body_html is None else clean_html(row.body_html)
    own = files.get(row.id, ())
    for file in own if 'src="cid:' in html else ():  # an image that came along with its mail is read where files are
        address = f"{attachments_api.ATTACHMENTS.format(number=number)}/{file.id}"
        html = html.replace(f'src="cid:{file.id}"', f'src="{address}"')
    return {
        "id": row.id,
        "direction": row.direction,
        "body": row.body,
        "body_html": html,
        "body_text": text_of(html) if row.body_html is None else row.body,
        "in_reply_to": row.in_reply_to,
        "attachments": [attachments_api.shown(file) for file in own],
        "origin_ticket": row.origin_ticket,
        "author": row.author,
        "created_at": row.created_at,
    }


def _one(call: Call, number: str, ticket_id: int, message_id: int) -> dict[str, Any]:
    statement = select(TicketMessage).where(
        TicketMessage.id == message_id, TicketMessage.ticket_id == ticket_id, *messages.readable(call.actor)
    )
    row = call.session.execute(statement).scalar_one_or_none()
    if row is None:
        raise not_found()
    return _shown(number, row, attachments.of_messages(call, [row.id]))


def create(call: Call) -> Reply:
    """POST /tickets/{number}/messages"""
    draft = service.load_by_number(call, call.path["number"])
    message_id = messages.write(call, draft, call.body, if_match=call.if_match)
    location = f"{MESSAGES.format(number=draft.number)}/{message_id}"
    return Reply(_one(call, draft.number, draft.columns["id"], message_id), 201, {"Location": location})


def get(call: Call) -> Reply:
    """GET /tickets/{number}/messages/{id}"""
    ticket_id = ticket_row(call).t_id
    if not _ID.fullmatch(call.path["id"]):
        raise not_found()
    return Reply(_one(call, call.path["number"].upper(), ticket_id, int(call.path["id"])))


def listing(call: Call) -> Reply:
    """GET /tickets/{number}/messages"""
    rows, following = page(call, TicketMessage, "messages", *messages.readable(call.actor))
    files = attachments.of_messages(call, [row.id for row in rows])
    number = call.path["number"].upper()
    return Reply({"items": [_shown(number, row, files) for row in rows], "next_cursor": following})


def operations() -> Iterable[Operation]:
    """The operations on messages."""
    message = object_schema(described(MessageEntry()), answer=True)
    file = object_schema(described(attachments_api.AttachmentEntry()), answer=True)
    message["properties"]["attachments"] = {"type": "array", "items": file, "description": "The files of the message."}
    yield Operation(
        "list_ticket_messages",
        "GET",
        MESSAGES,
        listing,
        "What was written on a ticket",
        "tickets",
        permission=ACCESS,
        query=Page,
        answers={200: ("A page.", pagination.page_schema(message))},
    )
    yield Operation(
        "create_ticket_message",
        "POST",
        MESSAGES,
        create,
        "Write on a ticket",
        "tickets",
        permission=ACCESS,
        body=MessageCreate,
        beforehand=_render,
        partial=True,
        write=True,
        idempotency=True,
        etag=True,
        answers={201: ("The message.", message)},
        description="Needs `tickets:comment`, unless it is the ticket's reporter who answers.",
    )
    yield Operation(
        "get_ticket_message",
        "GET",
        f"{MESSAGES}/{{id}}",
        get,
        "Read a message",
        "tickets",
        permission=ACCESS,
        answers={200: ("The message.", message)},
    )
