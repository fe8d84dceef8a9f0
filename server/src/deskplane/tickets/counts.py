"""How many tickets are in each status: `GET /tickets/counts`, with the filters of the list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import orjson
from sqlalchemy import ARRAY, ColumnElement, Select, String, Table, and_, bindparam, false, func, or_, select, true
from sqlalchemy.orm import Session

from deskplane.kernel.actor import Actor
from deskplane.kernel.db import execute, prepared
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.kernel.words import ENDED, STATUSES
from deskplane.kernel.work import Work
from deskplane.tickets import orders, queries, search, views
from deskplane.tickets.models import TicketCount
from deskplane.tickets.queries import T
from deskplane.tickets.schemas import TicketCounts

CAP = 1000
"""Up to how many are counted one by one."""
_COUNTED = {"customer", "department", "status", "open"}
"""Filters of which the counters know."""
_COUNTS = cast(Table, TicketCount.__table__)
C = _COUNTS.c


def counts(call: Call) -> Reply:
    """GET /tickets/counts"""
    found = by_status(call, views.applied(call, call.query))
    return Reply(
        {
            "counts": {status: min(count, CAP) if capped else count for status, (count, capped) in found.items()},
            "capped": [status for status, (_, capped) in found.items() if capped],
        }
    )


def by_status(work: Work, query: Mapping[str, Any]) -> dict[str, tuple[int, bool]]:
    """For each status how many tickets there are, and whether there are more than were counted."""
    found = dict.fromkeys(STATUSES, (0, False))
    wanted = [status for status in query["status"] or STATUSES if _is_wanted(status, query["open"])]
    given = {name for name, value in query.items() if value is not None and value != [] and name != "view"}
    if not wanted:
        return found
    actor = work.actor
    if given - _COUNTED:
        conditions = orders.conditions(work, {**query, "status": None, "open": None}, work.clock.now())
        conditions += [] if query["q"] is None else [search.matching(work, query["q"])]
        return found | _one_by_one(work, wanted, conditions)
    if actor.user_id is None and queries.visible(actor) is not None:
        return found
    counted: Any = execute(work.session, _of_counters(actor, query["customer"], query["department"]), {}).all()
    exact = dict.fromkeys(STATUSES, 0) | {status: int(number) for status, number in counted}
    if queries.visible(actor) is None:
        return found | {status: (exact[status], False) for status in wanted}
    beyond = [queries.own(actor), ~func.coalesce(queries.in_scope(actor), false())]
    beyond += queries.filters({**query, "status": None, "open": None}, work.clock.now())
    own = _one_by_one(work, wanted, beyond)
    return found | {status: (exact[status] + own[status][0], own[status][1]) for status in wanted}


def totals(session: Session) -> dict[str, int]:
    """How many tickets of the whole desk there are in each status that has some, by the counters."""
    rows = session.execute(select(C.status, func.sum(C.number)).group_by(C.status))
    return {status: int(number) for status, number in rows}


def _is_wanted(status: str, is_open: bool | None) -> bool:
    return is_open is None or is_open == (status not in ENDED)


@lru_cache(maxsize=512)
def _of_counters(actor: Actor, customer: str | None, department: str | None) -> Select[Any]:
    """The sums of the counters that the caller may see (`queries.in_scope`) and asks for, by status."""
    mine = C.department.in_(sorted(actor.departments))
    by_customer: ColumnElement[bool] = (
        true()
        if actor.may("tickets:view_all")
        else or_(C.customer.in_(sorted(actor.member_of)), and_(C.customer == "", mine))
    )
    by_department: ColumnElement[bool] = (
        true() if actor.may("tickets:view_all_departments") else or_(C.department == "", mine)
    )
    statement = select(C.status, func.sum(C.number)).where(by_customer, by_department)
    for field, counted, name in (("customer", C.customer, customer), ("department", C.department, department)):
        if name is not None:
            statement = statement.where(counted == queries.id_of(field, name))
    return prepared(statement.group_by(C.status))


_WANTED = {
    True: func.json_each(bindparam("wanted")).table_valued("value"),
    False: func.unnest(bindparam("wanted", type_=ARRAY(String))).table_valued("value").render_derived(),
}


def _one_by_one(
    work: Work, wanted: Sequence[str], conditions: Sequence[ColumnElement[bool]]
) -> dict[str, tuple[int, bool]]:
    """Counts up to the cap in each status, in one statement: one select that is run for each of them, since a union of
    six would be planned six times, which takes PostgreSQL longer than to run it."""
    statuses = _WANTED[work.is_sqlite]
    some = select(T.id).where(T.status == statuses.c.value, *conditions).limit(CAP + 1).correlate(statuses).subquery()
    counted = select(statuses.c.value, select(func.count()).select_from(some).scalar_subquery())
    given = orjson.dumps(wanted).decode() if work.is_sqlite else wanted
    rows: Any = execute(work.session, counted, {"wanted": given})
    return {status: (min(count, CAP), count > CAP) for status, count in rows}


def operations() -> Iterable[Operation]:
    """The one operation."""
    number = {"type": "integer", "minimum": 0}
    yield Operation(
        "count_tickets",
        "GET",
        "/api/v1/tickets/counts",
        counts,
        "Count tickets by status",
        "tickets",
        permission=("tickets:access",),
        query=TicketCounts,
        refusals=views.NO_VIEW,
        answers={
            200: (
                "How many tickets that the filters leave are in each status.",
                {
                    "type": "object",
                    "required": ["counts", "capped"],
                    "properties": {
                        "counts": {
                            "type": "object",
                            "required": list(STATUSES),
                            "properties": dict.fromkeys(STATUSES, number),
                            "description": "The number for each status; 0 for those that the filters leave out.",
                        },
                        "capped": {
                            "type": "array",
                            "items": {"type": "string", "enum": list(STATUSES)},
                            "description": "Statuses with more tickets than the number says.",
                        },
                    },
                },
            )
        },
        description="Exact where only customer, department and status are asked for; else counted up to 1,000 a "
        "status, and those with more are named under `capped`.",
    )
