"""Telling of deadlines that come near, and of those that passed (domain: service levels).

A ticket says when its clocks have something to be told next (`sla_tell_at`): whoever sets the clocks sets it to their
first edge, and the sweep to the one that follows. What was told of which deadline is a row, written with the event; so
each is told once, also where a deadline moves away and comes back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, bindparam, insert, select, update

from deskplane.kernel.db import execute
from deskplane.kernel.work import Work
from deskplane.service_levels.clock import RUNNING
from deskplane.service_levels.service import current_revision
from deskplane.tickets import service
from deskplane.tickets.announcements import announce
from deskplane.tickets.draft import CLOCKS, Draft
from deskplane.tickets.models import TicketTold
from deskplane.tickets.queries import TICKETS, T

CHUNK = 5
"""Tickets in one transaction: others wait for the lock meanwhile, on SQLite every writer."""
WARNING = "sla_warning"
BREACHED = "sla_breached"

_TOLD = cast(Table, TicketTold.__table__)
_LOOK_AGAIN = update(TICKETS).where(T.id == bindparam("of_id")).values(sla_tell_at=bindparam("new_tell_at"))


def tell_due(work: Work) -> bool:
    """Tells of what is due on one chunk of tickets, and answers whether there is more.

    Tickets that are being changed by someone, or that a job is still to recalculate, are left for the next time.
    """
    now = work.clock.now()
    due = (
        select(T.id)
        .where(T.sla_tell_at <= now, T.sla_revision == current_revision(work))
        .order_by(T.sla_tell_at, T.id)
        .limit(CHUNK)
        .with_for_update(skip_locked=True)
    )
    ids = work.session.execute(due).scalars().all()
    if ids:
        tell(work, ids)
    return len(ids) == CHUNK


def tell(work: Work, ids: Sequence[int]) -> None:
    """Tells of what is due on these tickets, each deadline once."""
    now = work.clock.now()
    told = {tuple(row) for row in work.session.execute(select(*_TOLD.c).where(_TOLD.c.ticket_id.in_(ids)))}
    rows: list[dict[str, Any]] = []
    following = []
    for draft in service.loaded(work, T.id.in_(ids)):
        ticket_id = draft.columns["id"]
        for at, clock, event, due_at in edges(draft):
            if at <= now and (ticket_id, clock, event, due_at) not in told:
                announce(work, event, draft, clock=(clock, due_at))
                rows.append({"ticket_id": ticket_id, "clock": clock, "event": event, "due_at": due_at})
        next_at = min((edge[0] for edge in edges(draft) if edge[0] > now), default=None)
        following.append({"of_id": ticket_id, "new_tell_at": next_at})
    if rows:
        execute(work.session, insert(_TOLD), rows)
    execute(work.session, _LOOK_AGAIN, following)


def edges(draft: Draft) -> Iterator[tuple[datetime, str, str, datetime]]:
    """What there is to be told of a ticket's clocks as they run now: when, of which clock, the event, the deadline."""
    for clock in CLOCKS:
        warn_at, due_at = draft.columns[f"{clock}_warn_at"], draft.columns[f"{clock}_due_at"]
        if draft.columns[f"{clock}_phase"] != RUNNING or due_at is None:
            continue
        if warn_at is not None and warn_at < due_at:
            yield warn_at, clock, WARNING, due_at
        yield due_at, clock, BREACHED, due_at
