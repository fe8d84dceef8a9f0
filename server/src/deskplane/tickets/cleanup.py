"""What becomes of tickets that nobody touches, as their department has it (domain: lifecycle).

Those that stand still are closed, those that have long been closed are deleted; a few in each transaction. Every step
looks for what is left, and takes it under the ticket's lock: so each is closed once, whoever works on it besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, tuple_

from deskplane.desks.models import Department
from deskplane.kernel.work import Work
from deskplane.tickets import references, removal, service
from deskplane.tickets.announcements import announce
from deskplane.tickets.chronicle import AUTOMATION
from deskplane.tickets.draft import Draft
from deskplane.tickets.models import Attachment
from deskplane.tickets.queries import T

CHUNK = 5
"""Tickets in one transaction: others wait for the lock meanwhile, on SQLite every writer."""

Position = tuple[int, tuple[datetime, int] | None]
"""Which part of the work is next, and the last ticket of it that was looked at: its last change and its id."""


@dataclass(frozen=True)
class _Part:
    """Tickets to be looked at in the order of an index, and what is done with each."""

    conditions: tuple[ColumnElement[bool], ...]
    act: Callable[[Work, Draft], None]


def clean_up(work: Work, at: Position | None) -> Position | None:
    """Does a chunk of the work, and answers where to go on, or null at the end."""
    number, last = at or (0, None)
    parts = list(_parts(work))
    if number >= len(parts):
        return None
    part = parts[number]
    behind = () if last is None else (tuple_(T.updated_at, T.id) > last,)
    order = (T.updated_at, T.id)
    rows = work.session.execute(select(*order).where(*part.conditions, *behind).order_by(*order).limit(CHUNK)).all()
    for draft in service.load(work, T.id.in_([row.id for row in rows]), *part.conditions) if rows else ():
        part.act(work, draft)
    if len(rows) == CHUNK:
        return number, (rows[-1].updated_at, rows[-1].id)
    return (number + 1, None) if number + 1 < len(parts) else None


def _parts(work: Work) -> Iterator[_Part]:
    """Closing, a part for each status; then deleting, one for each department that has it."""
    now = work.clock.now()
    departments = _departments(work)
    notes = {department_id: cleanup["note"] for department_id, cleanup in departments.items()}

    def close(work: Work, draft: Draft) -> None:
        _close(work, draft, notes[draft.columns["department_id"]])

    idle: dict[str, list[ColumnElement[bool]]] = {}
    for department_id, cleanup in departments.items():
        if cleanup["close_after_days"] is not None:
            before = now - timedelta(days=cleanup["close_after_days"])
            for status in cleanup["close_statuses"]:
                idle.setdefault(status, []).append(_of(department_id, before))
    for status in sorted(idle):
        # whoever set a reminder means to come back
        awaits_nothing = or_(T.remind_at.is_(None), T.remind_at <= now)
        yield _Part((T.status == status, or_(*idle[status]), awaits_nothing), close)
    for department_id, cleanup in sorted(departments.items()):
        if cleanup["delete_closed_after_days"] is None:
            continue
        before = now - timedelta(days=cleanup["delete_closed_after_days"])
        # in the order of the department's index, in which not much that is old is left after the first time
        closed = (func.coalesce(T.status, "") == "closed", T.closed_at < before)
        of_department: tuple[ColumnElement[bool], ...] = (
            T.department_id == department_id,
            T.updated_at < before,
            *closed,
        )
        if not cleanup["delete_files"]:
            of_department += (~select(Attachment.id).where(Attachment.ticket_id == T.id).exists(),)
        yield _Part(of_department, _delete)


def _of(department_id: str, before: datetime) -> ColumnElement[bool]:
    # the department hidden from the planner: its index has all that ever was, the one of the status what is open
    return and_(func.coalesce(T.department_id, "") == department_id, T.updated_at < before)


def _departments(work: Work) -> dict[str, Any]:
    """Id → `cleanup`, of the departments that clean up."""

    def load() -> dict[str, Any]:
        rows = work.session.execute(select(Department.id, Department.cleanup))
        wanted = ("close_after_days", "delete_closed_after_days")
        empty: dict[str, Any] = {"close_statuses": [], "note": "", "delete_files": True, **dict.fromkeys(wanted)}
        return {
            department_id: empty | cleanup
            for department_id, cleanup in rows
            if any(cleanup.get(name) is not None for name in wanted)
        }

    return work.keep("cleanup", load)


def _close(work: Work, draft: Draft, note: str) -> None:
    """Closes a ticket by the shortest way that its workflow has; where there is none it stays."""
    if references.workflow_of(work, draft).path(draft.status, "closed") is None:
        return
    before = draft.snapshot()
    service.take_steps(work, draft, "closed")
    changed = {name for name, value in draft.snapshot().items() if value != before[name]}
    service.save(work, draft, before, changed, comment=note or None, cause=AUTOMATION, told=False)
    announce(work, "auto_closed", draft, changed=changed)


def _delete(work: Work, draft: Draft) -> None:
    removal.delete_ticket(work, draft, cause=AUTOMATION)
