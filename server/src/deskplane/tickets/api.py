"""The endpoints of tickets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from marshmallow import Schema

from deskplane.kernel import pagination
from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.etag import etag, not_modified
from deskplane.kernel.fields import Flag
from deskplane.kernel.markup import to_html
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.kernel.outcome import outcome_schema
from deskplane.tickets import (
    assets,
    assets_api,
    attachments_api,
    bulk,
    counts,
    feed,
    linked,
    links,
    links_api,
    lists,
    machine,
    messages_api,
    moving_api,
    opening,
    queries,
    related,
    removal,
    service,
    sla_api,
    views,
)
from deskplane.tickets.belongings import page, ticket_row
from deskplane.tickets.models import History
from deskplane.tickets.schemas import (
    HistoryEntry,
    Page,
    TicketAnswer,
    TicketApply,
    TicketCreate,
    TicketList,
    TicketPatch,
)

BASE = "/api/v1/tickets"
ACCESS = ("tickets:access",)

INTERNAL_FIELDS = ("assignee", "owner", "group", "tags", "labels", "correlation_key", "occurrences")
"""Fields whose history a caller without `tickets:read_internal` does not see."""


class ApplyQuery(Schema):
    """How to apply."""

    dry_run = Flag("Answer what the call would do, and do nothing.", default=False)
    allow_unresolved = Flag(
        "In a dry run: report references to what is not there yet under unresolved, instead of refusing them.",
        default=False,
    )


def _render(body: dict[str, Any]) -> None:
    """Rendering takes as long as a creation's statements; done here, nobody waits for the write lock meanwhile."""
    to_html(body.get("description") or "")


def create(call: Call) -> Reply:
    """POST /tickets"""
    draft = service.open_ticket(call, linked.as_himself(call, call.body))
    found = service.shown(call, draft)
    return Reply(found, 201, {"ETag": etag(1, found), "Location": f"{BASE}/{draft.number}"})


def apply(call: Call) -> Reply:
    """POST /tickets/apply"""
    applied = machine.apply(call, call.body, allow_unresolved=bool(call.query["allow_unresolved"]))
    created = applied.action == "create" and not call.dry_run
    headers = {"ETag": etag(applied.version, applied.after)} if applied.version else {}
    answer = {
        "changed": applied.action != "none",
        "action": applied.action,
        "changes": applied.changes,
        "before": applied.before,
        "after": applied.after,
        "unresolved": applied.unresolved,
        "warnings": applied.warnings,
    }
    if applied.attachments is not None:
        answer["attachments"] = [one and attachments_api.shown(one) for one in applied.attachments]
    return Reply(answer, 201 if created else 200, headers)


def get(call: Call) -> Reply:
    """GET /tickets/{number}"""
    row = ticket_row(call)
    found = queries.with_html(queries.answers(call, [row])[0])
    found["contact_assets"] = assets.of_contact(call, row.t_contact_id)
    tag = etag(row.t_version, found)
    if not_modified(call.if_none_match, tag):
        return Reply(None, 304, {"ETag": tag})
    return Reply(found, 200, {"ETag": tag})


def patch(call: Call) -> Reply:
    """PATCH /tickets/{number}"""
    draft = service.load_by_number(call, call.path["number"])
    given = {name: value for name, value in call.body.items() if name != "comment"}
    service.change(call, draft, given, comment=call.body.get("comment"), if_match=call.if_match, one_step=True)
    found = service.shown(call, draft)
    return Reply(found, 200, {"ETag": etag(draft.columns["version"], found)})


def delete(call: Call) -> Reply:
    """DELETE /tickets/{number}"""
    removal.delete_ticket(call, service.load_by_number(call, call.path["number"]), if_match=call.if_match)
    return Reply(None, 204)


def history(call: Call) -> Reply:
    """GET /tickets/{number}/history"""
    internal = call.actor.may("tickets:read_internal")
    conditions = [] if internal else [History.field.not_in(INTERNAL_FIELDS), History.internal.is_(False)]
    rows, following = page(call, History, "history", *conditions)
    items = []
    for row in links.seen_history(call, rows):
        new = row.new
        if not internal and row.field == "created":
            new = {name: value for name, value in new.items() if name not in INTERNAL_FIELDS}
        items.append(
            {"at": row.at, "author": row.author, "cause": row.cause, "field": row.field, "old": row.old, "new": new}
        )
    return Reply({"items": items, "next_cursor": following})


def operations() -> Iterable[Operation]:
    """Every operation on tickets."""
    thing = object_schema(described(TicketAnswer()), answer=True)
    entry = object_schema(described(HistoryEntry()), answer=True)
    applied = described(TicketApply())
    declared = {name: applied[name].json_schema(answer=True) for name in related.NAMES}  # answered where they are given
    outcome = outcome_schema({**thing, "properties": {**thing["properties"], **declared}})
    file = object_schema(described(attachments_api.AttachmentEntry()), answer=True)
    outcome["properties"]["attachments"] = {"type": "array", "items": {"anyOf": [file, {"type": "null"}]}}
    yield Operation(
        "create_ticket",
        "POST",
        BASE,
        create,
        "Open a ticket",
        "tickets",
        permission=("tickets:create",),
        body=TicketCreate,
        beforehand=_render,
        write=True,
        idempotency=True,
        answers={201: ("The ticket.", thing)},
    )
    yield Operation(
        "apply_ticket",
        "POST",
        f"{BASE}/apply",
        apply,
        "Say what a machine's ticket should be",
        "tickets",
        permission=ACCESS,
        dry_permission=("configuration:plan",),
        query=ApplyQuery,
        body=TicketApply,
        beforehand=_render,
        partial=True,
        write=True,
        idempotency=True,
        answers={200: ("What changed, or would.", outcome), 201: ("It was opened.", outcome)},
        description="Recognised by `correlation_key`, which is unique among the open tickets of one customer; else by "
        "customer and title.",
    )
    yield Operation(
        "list_tickets",
        "GET",
        BASE,
        lists.listing,
        "List tickets",
        "tickets",
        permission=ACCESS,
        query=TicketList,
        refusals=views.NO_VIEW,
        answers={200: ("A page.", pagination.page_schema(thing))},
    )
    yield from counts.operations()
    yield from feed.operations()
    yield from views.operations()
    yield from sla_api.operations()
    yield from bulk.operations()
    yield from opening.operations()
    yield from links_api.operations()
    yield from moving_api.operations(thing)
    yield from assets_api.operations(pagination.page_schema(thing))
    one = f"{BASE}/{{number}}"
    yield Operation(
        "get_ticket",
        "GET",
        one,
        get,
        "Read a ticket",
        "tickets",
        permission=ACCESS,
        etag=True,
        answers={200: ("The ticket.", thing), 304: ("It is as it was.", None)},
    )
    yield Operation(
        "update_ticket",
        "PATCH",
        one,
        patch,
        "Change a ticket",
        "tickets",
        permission=ACCESS,
        body=TicketPatch,
        beforehand=_render,
        partial=True,
        write=True,
        etag=True,
        answers={200: ("The ticket.", thing)},
    )
    yield Operation(
        "delete_ticket",
        "DELETE",
        one,
        delete,
        "Delete a ticket for good",
        "tickets",
        permission=("tickets:delete",),
        write=True,
        etag=True,
        answers={204: ("It is gone.", None)},
    )
    yield Operation(
        "list_ticket_history",
        "GET",
        f"{one}/history",
        history,
        "What happened to a ticket",
        "tickets",
        permission=ACCESS,
        query=Page,
        answers={200: ("A page.", pagination.page_schema(entry))},
    )
    yield from messages_api.operations()
    yield from attachments_api.operations()
