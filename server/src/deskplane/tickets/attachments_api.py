"""The endpoints of a ticket's attachments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from marshmallow import Schema

from deskplane.desks.settings import setting
from deskplane.kernel import pagination
from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.fields import Flag, Moment, Text, Whole
from deskplane.kernel.headers import CSP, FILE
from deskplane.kernel.operation import Call, Operation, Reply, Stream, Upload
from deskplane.kernel.problem import Problem
from deskplane.tickets import attachment_names, attachments, service
from deskplane.tickets.belongings import page, ticket_row
from deskplane.tickets.models import Attachment, Ticket
from deskplane.tickets.schemas import Digest, Page

ATTACHMENTS = "/api/v1/tickets/{number}/attachments"
ACCESS = ("tickets:access",)
SHUT = {CSP: FILE}
"""Whatever a file holds, a browser does nothing with it."""


class AttachmentUpload(Schema):
    """What is said of a file beside its bytes."""

    name = Text(
        "Its name, instead of the one in C(Content-Disposition). Of a path the last part is kept.",
        longest=10 * attachment_names.LONGEST,
    )
    internal = Flag(
        "Whether those only read it who have C(tickets:read_internal); as part of a message it is as internal as that. "
        "Without it, V(true) for who has C(tickets:comment) and C(tickets:read_internal), and V(false) for others, "
        "whose files are never internal."
    )
    sha256 = Digest("SHA-256 of what is sent, in hexadecimal digits. Something else that arrives is refused.")
    once = Flag(
        "Whether a file of this name and content that is there already is answered, instead of stored a second time; "
        "with O(internal), one that is just as internal.",
        default=False,
    )


class AttachmentEntry(Schema):
    """One attachment."""

    id = Text("Id of the attachment.", read_only=True)
    name = Text("Its name.", read_only=True)
    content_type = Text("Media type, as its sender named it.", read_only=True)
    size = Whole("Its size in bytes.", read_only=True)
    sha256 = Text("SHA-256 of what it holds, in hexadecimal digits.", read_only=True)
    internal = Flag("Whether those only read it who have C(tickets:read_internal).", read_only=True)
    message = Whole("Id of the message that it is part of.", most=2**53, read_only=True)
    author = Text("Who sent it.", read_only=True)
    created_at = Moment("When.", read_only=True)


_SHOWN = tuple(name for name in described(AttachmentEntry()) if name != "message")


def shown(row: Attachment | Mapping[str, Any]) -> dict[str, Any]:
    """An attachment as it is answered."""
    values = row if isinstance(row, Mapping) else {name: getattr(row, name) for name in (*_SHOWN, "message_id")}
    return {name: values[name] for name in _SHOWN} | {"message": values["message_id"]}


def _upload(call: Call) -> Upload:
    assert call.upload is not None, "the operation takes a file"
    return call.upload


def admit(call: Call) -> int:
    """Before the file is read: everything that can be said against it, and how large it may be."""
    (draft,) = service.loaded(call, Ticket.id == ticket_row(call).t_id)
    attachments.require_taken(call, draft, _upload(call), call.query)
    most: int = setting(call, "attachments.max_bytes")
    return most


def create(call: Call) -> Reply:
    """POST /tickets/{number}/attachments"""
    draft = service.load_by_number(call, call.path["number"])
    stored, new = attachments.store(call, draft, _upload(call), call.query, if_match=call.if_match)
    found = shown(stored)
    location = f"{ATTACHMENTS.format(number=draft.number)}/{found['id']}"
    return Reply(found, 201 if new else 200, {"Location": location})


def listing(call: Call) -> Reply:
    """GET /tickets/{number}/attachments"""
    rows, following = page(call, Attachment, "attachments", *attachments.readable(call.actor))
    return Reply({"items": [shown(row) for row in rows], "next_cursor": following})


def _found(call: Call) -> tuple[Attachment, dict[str, str]]:
    found = attachments.find(call, ticket_row(call).t_id, call.path["id"])
    return found, {**SHUT, "Content-Disposition": attachment_names.disposition(found.name)}


def download(call: Call) -> Reply:
    """GET /tickets/{number}/attachments/{id}"""
    found, headers = _found(call)
    return Reply(Stream(attachments.reader(found), found.size), 200, headers, attachments.OCTETS)


def text(call: Call) -> Reply:
    """GET /tickets/{number}/attachments/{id}/text"""
    found, headers = _found(call)
    if not attachments.is_text(found):
        raise Problem(422, "not_text", f"{found.name} is no text, but {found.content_type}; download it")
    return Reply(Stream(attachments.text_reader(found)), 200, headers, "text/plain; charset=utf-8")


def delete(call: Call) -> Reply:
    """DELETE /tickets/{number}/attachments/{id}"""
    draft = service.load_by_number(call, call.path["number"])
    attachments.remove(call, draft, call.path["id"], if_match=call.if_match)
    return Reply(None, 204)


def operations() -> Iterable[Operation]:
    """The operations on attachments."""
    entry = object_schema(described(AttachmentEntry()), answer=True)
    one = f"{ATTACHMENTS}/{{id}}"
    yield Operation(
        "list_ticket_attachments",
        "GET",
        ATTACHMENTS,
        listing,
        "The files on a ticket",
        "tickets",
        permission=ACCESS,
        query=Page,
        answers={200: ("A page.", pagination.page_schema(entry))},
    )
    yield Operation(
        "create_ticket_attachment",
        "POST",
        ATTACHMENTS,
        create,
        "Put a file on a ticket",
        "tickets",
        permission=ACCESS,
        query=AttachmentUpload,
        upload=admit,
        write=True,
        idempotency=True,
        etag=True,
        answers={200: ("It was there already.", entry), 201: ("The attachment.", entry)},
        description="The body is the file itself, of at most `attachments.max_bytes` bytes. Needs `tickets:comment`, "
        "unless it is the ticket's reporter who sends it.",
    )
    yield Operation(
        "download_ticket_attachment",
        "GET",
        one,
        download,
        "Download a file",
        "tickets",
        permission=ACCESS,
        answers={200: ("The file.", {"type": "string", "format": "binary", "x-content-type": attachments.OCTETS})},
    )
    yield Operation(
        "read_ticket_attachment",
        "GET",
        f"{one}/text",
        text,
        "Read a file that is text",
        "tickets",
        permission=ACCESS,
        answers={200: ("What it holds, in UTF-8.", {"type": "string", "x-content-type": "text/plain"})},
    )
    yield Operation(
        "delete_ticket_attachment",
        "DELETE",
        one,
        delete,
        "Delete a file for good",
        "tickets",
        permission=("tickets:edit",),
        write=True,
        etag=True,
        answers={204: ("It is gone.", None)},
    )
