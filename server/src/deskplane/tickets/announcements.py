"""What the room tells others: one row in the outbox for an event, with the values as at the event."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from deskplane.kernel.clock import rfc3339
from deskplane.kernel.work import Work
from deskplane.outbox import service as outbox
from deskplane.tickets import queries
from deskplane.tickets.draft import Draft

TOPIC = "ticket.event"
ASIDE = "aside"
"""The part of an event's payload that stays in the house: `changed`, the names of the fields that did, `message`, the
id of what was said in public along with it, null for nothing, and `department_id`."""


def announce(
    work: Work,
    event: str,
    ticket: Draft,
    *,
    changed: Collection[str] = (),
    message: int | None = None,
    clock: tuple[str, datetime] | None = None,
) -> None:
    """Says that something happened to a ticket: `changed` and `message` as in `ASIDE`; `clock` is the one that it is
    about, `response` or `resolution`, with its deadline."""
    if work.silent:
        return
    of_clock = {} if clock is None else {"clock": clock[0], "due_at": rfc3339(clock[1])}
    outbox.put(
        work,
        TOPIC,
        {
            "event": event,
            "ticket_number": ticket.number,
            "subject": ticket.columns["title"],
            "status": ticket.status,
            "priority": ticket.priority,
            "assigned_to": ticket.names["assignee"],
            "customer": ticket.names["customer"],
            "department": ticket.names["department"],
            "url": f"{queries.address(work)}/tickets/{ticket.number}",
            "timestamp": rfc3339(work.clock.now()),
            **of_clock,
            ASIDE: {
                "changed": sorted(changed),
                "message": message,
                "department_id": ticket.columns["department_id"],
            },
        },
    )


def event_of(changed: set[str], status: str, *, public: bool = False) -> str | None:
    """The one event that a request's changes make (domain: webhooks): closing alone, assigning alone, else what was
    said in public, else updating."""
    if "status" in changed and status == "closed":
        return "ticket_closed"
    if "assignee" in changed:
        return "ticket_assigned"
    if public:
        return "comment_added"
    return "ticket_updated" if changed else None
