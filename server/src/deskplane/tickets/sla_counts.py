"""In which states the clocks of open tickets are, counted by a job and kept for the metrics.

States are ranges of now, so that no trigger can count them; and counting them means to look at every open ticket, which
is nothing to do for each scrape.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, bindparam, case, delete, func, insert, select
from sqlalchemy.orm import Session

from deskplane.kernel.db import execute
from deskplane.kernel.words import ENDED, STATUSES
from deskplane.service_levels.clock import PAUSED, SEVERITY, STOPPED
from deskplane.tickets.draft import CLOCKS
from deskplane.tickets.models import TicketSlaCount
from deskplane.tickets.queries import T

_COUNTS = cast(Table, TicketSlaCount.__table__)
_OPEN = [status for status in STATUSES if status not in ENDED]
STEP = 50_000
"""Tickets, open or not, among which one statement counts."""
STATES = tuple(state for state in SEVERITY if state != "none")

Numbers = dict[tuple[str, str], int]
"""Clock and state → how many."""


def count(session: Session, now: datetime) -> tuple[datetime, Numbers]:
    """Looks at every open ticket. Only reads, and so many in a statement that none comes near its bound, not even where
    nothing of a large desk is in memory."""
    states = [_state(clock, now).label(clock) for clock in CLOCKS]
    found: Counter[tuple[str, str]] = Counter()
    last = session.execute(select(func.max(T.id))).scalar_one() or 0
    some = T.id.between(bindparam("first"), bindparam("last"))
    statement = select(*states, func.count()).where(T.status.in_(_OPEN), some).group_by(*states)
    for first in range(1, last + 1, STEP):
        for *pair, number in session.execute(statement, {"first": first, "last": first + STEP - 1}):
            found.update(dict.fromkeys(zip(CLOCKS, pair, strict=True), number))
    return now, {(clock, state): found[clock, state] for clock in CLOCKS for state in STATES}


def _state(clock: str, now: datetime) -> ColumnElement[Any]:
    """What `Deadline.state` says, in SQL. Of what is null nothing is true, and the next line is asked."""
    column = {part: getattr(T, f"{clock}_{part}") for part in ("phase", "warn_at", "critical_at", "due_at", "met_at")}
    return case(
        (column["phase"].is_(None), "none"),
        (column["phase"] == STOPPED, case((column["met_at"] > column["due_at"], "breached"), else_="met")),
        (column["due_at"] <= now, "breached"),
        (column["phase"] == PAUSED, "paused"),
        (column["critical_at"] <= now, "critical"),
        (column["warn_at"] <= now, "warning"),
        else_="ok",
    )


def store(session: Session, counted: tuple[datetime, Numbers]) -> None:
    """Keeps what was counted, instead of what was before."""
    at, numbers = counted
    execute(session, delete(_COUNTS), {})
    rows = [{"clock": key[0], "state": key[1], "number": number, "at": at} for key, number in numbers.items()]
    execute(session, insert(_COUNTS), rows)


def read(session: Session) -> tuple[datetime | None, Numbers]:
    """When it was counted, null for never, and what was found."""
    rows = session.execute(select(_COUNTS.c.clock, _COUNTS.c.state, _COUNTS.c.number, _COUNTS.c.at)).all()
    numbers = {(row.clock, row.state): row.number for row in rows}
    empty = {(clock, state): 0 for clock in CLOCKS for state in STATES}
    return (rows[0].at if rows else None), empty | numbers
