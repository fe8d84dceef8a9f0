"""The endpoints that merge tickets and split them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from marshmallow import Schema

from deskplane.kernel.compound import ListOf
from deskplane.kernel.etag import etag
from deskplane.kernel.fields import Text, Whole
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.tickets import moving, service
from deskplane.tickets.schemas import TITLE_LENGTH

ONE = "/api/v1/tickets/{number}"
MOST_AT_ONCE = 500
_MOST_IDS = 2**53


class Merge(Schema):
    """Where a ticket goes."""

    into = Text("Number of the ticket that takes everything over.", longest=30, shortest=1, required=True)

    always = ("into",)


class Split(Schema):
    """What becomes a ticket of its own."""

    title = Text("What the new ticket is about, in a line.", longest=TITLE_LENGTH, shortest=1, required=True)
    messages = ListOf(
        "Ids of the messages that go to the new ticket, with their files.",
        Whole("An id.", least=1, most=_MOST_IDS),
        most=MOST_AT_ONCE,
        required=True,
    )

    always = ("title", "messages")


def merge(call: Call) -> Reply:
    """POST /tickets/{number}/merge"""
    _source, target = moving.merge(call, call.path["number"], call.body["into"], if_match=call.if_match)
    found = service.shown(call, target)
    return Reply(found, 200, {"ETag": etag(target.columns["version"], found)})


def split(call: Call) -> Reply:
    """POST /tickets/{number}/split"""
    _source, new = moving.split(call, call.path["number"], call.body, if_match=call.if_match)
    found = service.shown(call, new)
    location = ONE.format(number=new.number)
    return Reply(found, 201, {"ETag": etag(new.columns["version"], found), "Location": location})


def operations(ticket: dict[str, Any]) -> Iterable[Operation]:
    """Both; `ticket` is the schema of a ticket's answer."""
    yield Operation(
        "merge_ticket",
        "POST",
        f"{ONE}/merge",
        merge,
        "Merge a ticket into another",
        "tickets",
        permission=("tickets:access",),
        body=Merge,
        write=True,
        etag=True,
        idempotency=True,
        answers={200: ("The ticket that took everything over.", ticket)},
        description="Messages with their files, references and links move; tags, labels and assets are united. The "
        "ticket is closed and `duplicates` the other one. It needs `tickets:edit` and `tickets:close`.",
    )
    yield Operation(
        "split_ticket",
        "POST",
        f"{ONE}/split",
        split,
        "Make a ticket of some messages of another",
        "tickets",
        permission=("tickets:access",),
        body=Split,
        write=True,
        etag=True,
        idempotency=True,
        answers={201: ("The new ticket.", ticket)},
        description="It has the same customer, contact, department, type and priority, and `relates_to` the other one. "
        "It needs `tickets:create` and `tickets:edit`.",
    )
