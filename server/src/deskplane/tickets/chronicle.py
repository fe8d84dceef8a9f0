"""What is written down of a ticket's life: its history, and what people say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, insert

from deskplane.kernel.clock import rfc3339
from deskplane.kernel.db import execute
from deskplane.kernel.work import Work
from deskplane.tickets import search
from deskplane.tickets.draft import Draft
from deskplane.tickets.models import History, TicketMessage

# made once: making a statement costs as much as running it
_INSERT_HISTORY = insert(cast(Table, History.__table__))
_INSERT_MESSAGE = insert(cast(Table, TicketMessage.__table__))

AUTOMATION = "automation"
"""The cause of what the server changes by itself."""


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON holds them."""
    return {name: _as_text(value) for name, value in values.items()}


def _as_text(value: Any) -> Any:
    """A value as JSON holds it: instants as everywhere in the API."""
    return rfc3339(value) if isinstance(value, datetime) else value


def entries(
    work: Work,
    draft: Draft,
    changes: Sequence[tuple[str, Any, Any]],
    cause: str | None = None,
    *,
    internal: bool = False,
) -> list[dict[str, Any]]:
    """Rows of history for changes: (field, old, new). `internal`: they tell of something that is."""
    key = work.actor.key_id
    now = work.clock.now()
    return [
        {
            "ticket_id": draft.columns["id"],
            "at": now,
            "author": work.actor.username,
            "cause": cause or work.actor.cause or (f"key {key}" if key else "command line"),
            "field": field,
            "old": _as_text(old),
            "new": _as_text(new),
            "internal": internal,
        }
        for field, old, new in changes
    ]


def entered(work: Work, rows: Sequence[dict[str, Any]]) -> None:
    """Writes rows of history."""
    if rows:
        execute(work.session, _INSERT_HISTORY, rows if len(rows) > 1 else rows[0])


def record(
    work: Work,
    draft: Draft,
    changes: Sequence[tuple[str, Any, Any]],
    cause: str | None = None,
    *,
    internal: bool = False,
) -> None:
    """Writes history: (field, old, new). `internal`: they tell of something that is."""
    entered(work, entries(work, draft, changes, cause, internal=internal))


def add_message(
    work: Work,
    draft: Draft,
    body: str,
    *,
    direction: str = "internal",
    attachments: Sequence[str] = (),
    cause: str | None = None,
    **more: Any,
) -> int:
    """Writes a message and its history, and answers its id. `attachments` are the ids of files that become part of it,
    `more` further columns."""
    values = {"direction": direction, "body": body, "author": work.actor.username, "created_at": work.clock.now()}
    inserted = execute(
        work.session, _INSERT_MESSAGE, {"ticket_id": draft.columns["id"], **values, **more}
    ).inserted_primary_key
    assert inserted is not None, "an insert of one row has its key"
    message_id: int = inserted[0]
    search.hear(work, draft.columns["id"], body, internal=direction == "internal")
    told = {"id": message_id, "direction": direction, **({"attachments": attachments} if attachments else {})}
    record(work, draft, [("message", None, told)], cause, internal=direction == "internal")
    return message_id
