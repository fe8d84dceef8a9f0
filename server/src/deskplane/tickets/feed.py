"""The feed of events: for programs that ask what happened since, and must miss nothing.

Times and ids that are given inside of the transaction of a change cannot be asked for without loss: on PostgreSQL a
change with an earlier one may become visible after a later one was read. So the feed is written by the workers, from
the outbox, each event in the very transaction that takes its message out of there: once, whatever is killed when. They
do so one after the other, holding a lock until they have committed; therefore an event that becomes visible has an id
above every one that was visible before, and whoever has read up to an id has read everything below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Select, Table, and_, delete, func, insert, select
from sqlalchemy.orm import Session

from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.db import execute
from deskplane.kernel.ids import new_short_id
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.kernel.pagination import bad_cursor
from deskplane.kernel.problem import Problem, invalid_field
from deskplane.outbox.service import Claimed
from deskplane.tickets import queries
from deskplane.tickets.announcements import ASIDE
from deskplane.tickets.models import TicketEvent
from deskplane.tickets.schemas import EventEntry, EventList

KEPT = timedelta(days=30)
"""How long an event stays in the feed."""

_LOCK = 0x6465736B66656564
_EVENTS = cast(Table, TicketEvent.__table__)
E = _EVENTS.c
_BEGINNING = "0-000000000000"
_CURSOR = re.compile(r"([0-9]{1,18})-([0-9a-f]{12})")


def append(session: Session, message: Claimed) -> None:
    """Writes the event of an outbox message behind all others. Needs a writing transaction."""
    number = queries.parse_number(message.payload["ticket_number"])
    assert number is not None, "announcements name a ticket by its number"
    if session.get_bind().dialect.name != "sqlite":  # where there is one writer anyway
        session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    row = {
        "mark": new_short_id(),
        "at": message.created_at,
        "event": message.payload["event"],
        "prefix": number[0],
        "sequence": number[1],
        "payload": {name: value for name, value in message.payload.items() if name != ASIDE},
    }
    execute(session, insert(_EVENTS), row)


def forget_old(session: Session, now: datetime) -> None:
    """Removes what is older than `KEPT`. The newest one stays, so that its id is not given again."""
    newest = select(func.max(E.id)).scalar_subquery()
    execute(session, delete(_EVENTS).where(E.at < now - KEPT, E.id < newest), {})


def _gone() -> Problem:
    return Problem(
        410,
        "cursor_gone",
        f"this cursor's event is not in the feed: it is older than {KEPT.days} days, or the database was restored from "
        "a backup; go on with since and the time of the last event that you know",
    )


def _position(call: Call) -> int:
    """The id behind which the caller goes on. Raises 400 for what is no cursor, 410 where events may be missing."""
    cursor = call.query["cursor"]
    given = [name for name in ("cursor", "since") if call.query[name] is not None]
    given += ["newest"] if call.query["newest"] else []
    if len(given) > 1:
        raise invalid_field(given[-1], "not_allowed", f"cannot be given together with {given[0]}")
    if cursor is None:
        return 0
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise bad_cursor()
    position = int(found[1])
    if cursor == _BEGINNING:
        oldest = execute(call.session, select(func.min(E.id)), {}).scalar()
        if oldest is not None and oldest > 1:
            raise _gone()
        return 0
    if execute(call.session, select(E.mark).where(E.id == position), {}).scalar() != found[2]:
        raise _gone()
    return position


def _statement(call: Call, position: int) -> Select[Any]:
    statement = select(E.id, E.mark, E.at, E.payload).where(E.id > position).order_by(E.id)
    condition = queries.visible(call.actor)
    if condition is not None:
        # an event of a ticket that was deleted is seen by those who see all
        is_of = and_(queries.T.prefix == E.prefix, queries.T.sequence == E.sequence)
        statement = statement.join(queries.TICKETS, is_of).where(condition)
    if call.query["event"]:
        statement = statement.where(E.event.in_(call.query["event"]))
    if call.query["since"] is not None:
        statement = statement.where(E.at >= call.query["since"])
    return statement.limit(call.query["limit"] + 1)


def _shown(row: Any) -> dict[str, Any]:
    return {"clock": None, "due_at": None, **row.payload, "id": f"{row.id}-{row.mark}", "timestamp": row.at}


def listing(call: Call) -> Reply:
    """GET /tickets/events"""
    position, limit = _position(call), call.query["limit"]
    rows = [] if call.query["newest"] else execute(call.session, _statement(call, position), {}).all()
    more = len(rows) > limit
    items = [_shown(row) for row in rows[:limit]]
    if more:
        following = items[-1]["id"]
    else:
        # behind the events, too, that the caller may not see or did not ask for; read in the same snapshot
        newest = execute(call.session, select(E.id, E.mark).order_by(E.id.desc()).limit(1), {}).first()
        following = f"{newest.id}-{newest.mark}" if newest else _BEGINNING
    return Reply({"items": items, "next_cursor": following, "more": more})


def operations() -> Iterable[Operation]:
    """The operations of the feed."""
    entry = object_schema(described(EventEntry()), answer=True)
    yield Operation(
        "list_ticket_events",
        "GET",
        "/api/v1/tickets/events",
        listing,
        "What happened since",
        "tickets",
        permission=("tickets:access",),
        query=EventList,
        answers={
            200: (
                "Events, oldest first.",
                {
                    "type": "object",
                    "required": ["items", "next_cursor", "more"],
                    "properties": {
                        "items": {"type": "array", "items": entry},
                        "next_cursor": {"type": "string"},
                        "more": {"type": "boolean"},
                    },
                },
            ),
            410: (
                "Events behind the cursor may be missing.",
                {"$ref": "#/components/schemas/Problem", "x-content-type": "application/problem+json"},
            ),
        },
        description="For programs that ask again and again and must miss nothing: whoever goes on with `next_cursor`, "
        "which is never null, gets each event once. Events are kept for 30 days. They come here through the workers, "
        "a moment after they happened; without a worker there are none.",
    )
