"""Somebody looks at a ticket in order to work on it: `POST /tickets/{number}/open` (domain: auto-assign on open)."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from deskplane.desks.models import Department
from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.etag import etag
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.kernel.words import ENDED
from deskplane.tickets import service
from deskplane.tickets.draft import Draft
from deskplane.tickets.schemas import TicketAnswer

CAUSE = "auto-assign on open"


def open_to_work(call: Call) -> Reply:
    """POST /tickets/{number}/open"""
    draft = service.load_by_number(call, call.path["number"])
    if _falls_to(call, draft):
        before = draft.snapshot()
        draft.columns["assignee_id"], draft.names["assignee"] = call.actor.user_id, call.actor.username
        service.save(call, draft, before, {"assignee"}, cause=CAUSE)
    found = service.shown(call, draft)
    return Reply(found, 200, {"ETag": etag(draft.columns["version"], found)})


def _falls_to(call: Call, draft: Draft) -> bool:
    """Whether the ticket, which is locked, becomes the caller's: the department says so, nobody has it, and he is one
    of its members who work on tickets. It needs no `tickets:assign`: the desk assigns."""
    columns, actor = draft.columns, call.actor
    department_id = columns["department_id"]
    if columns["assignee_id"] is not None or draft.status in ENDED or department_id not in actor.departments:
        return False
    if not actor.may("tickets:edit"):
        return False
    return call.keep(
        ("auto-assign", department_id),
        lambda: bool(
            call.session.execute(
                select(Department.auto_assign_on_open).where(Department.id == department_id)
            ).scalar_one()
        ),
    )


def operations() -> Iterable[Operation]:
    """The one operation."""
    yield Operation(
        "open_ticket_to_work",
        "POST",
        "/api/v1/tickets/{number}/open",
        open_to_work,
        "Say that the caller begins to look at a ticket",
        "tickets",
        permission=("tickets:access",),
        write=True,
        answers={200: ("The ticket.", object_schema(described(TicketAnswer()), answer=True))},
        description="Where its department has `auto_assign_on_open` and nobody has the ticket, the first of the "
        "department's members who may edit tickets becomes its assignee. Otherwise it changes nothing: reading alone, "
        "`GET`, never does.",
    )
