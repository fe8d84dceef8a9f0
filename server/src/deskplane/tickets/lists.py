"""Lists of tickets: filters, words, order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, or_, select

from deskplane.desks.settings import setting
from deskplane.kernel import pagination
from deskplane.kernel.db import execute
from deskplane.kernel.operation import Call, Reply
from deskplane.kernel.pagination import Order
from deskplane.kernel.problem import invalid_field
from deskplane.kernel.work import Work
from deskplane.people.models import User
from deskplane.tickets import orders, queries, search, views
from deskplane.tickets.orders import Page
from deskplane.tickets.queries import T

RELEVANCE, REMINDERS, NEWEST = "relevance", "reminders", "-updated_at"


def listing(call: Call) -> Reply:
    """GET /tickets"""
    return page(call, call.query)


def page(call: Call, query: Mapping[str, Any]) -> Reply:
    """One page of the tickets that the caller sees and asks for."""
    rows, following = page_of(call, query)
    return Reply({"items": queries.answers(call, rows), "next_cursor": following})


def page_of(work: Work, asked: Mapping[str, Any]) -> Page:
    """Rows of `queries.SELECT` for the parameters of `TicketList`, and the cursor of the next page. Raises 400, 422."""
    query = views.applied(work, asked)
    query["sort"] = query["sort"] or (NEWEST if query["q"] is None else RELEVANCE)
    if query["sort"] == RELEVANCE:
        if query["q"] is None:
            raise invalid_field("sort", "not_allowed", "relevance orders the matches of q, which is missing")
        return search.ranked(work, query, orders.conditions(work, query, work.clock.now()))
    matching = [] if query["q"] is None else [search.matching(work, query["q"])]
    if query["sort"] == REMINDERS:
        return _reminders_first(work, query, matching)
    statement = orders.listing(work, query, *matching)
    sort = query["sort"]
    return orders.page(work, statement, orders.ORDERS[sort], scope=f"tickets {sort}", limit=query["limit"])


# -- what comes back today --------------------------------------------------------------------------------------------

_BY_REMINDER = Order(((T.remind_at, False), (T.id, False)), lambda row: [row.t_remind_at, row.t_id])
_SCOPE = "tickets reminders"


def tomorrow(work: Work) -> datetime:
    """When the caller's day ends: midnight in his time zone, else in the desk's."""
    user_id = work.actor.user_id

    def load() -> str | None:
        return work.session.execute(select(User.time_zone).where(User.id == user_id)).scalar_one_or_none()

    zone = ZoneInfo(work.keep(("time zone", user_id), load) or setting(work, "time_zone.default"))
    today = work.clock.now().astimezone(zone).date()
    return datetime.combine(today + timedelta(days=1), time.min, zone).astimezone(UTC)


def _reminders_first(work: Work, query: Mapping[str, Any], matching: Sequence[ColumnElement[bool]]) -> Page:
    """Two lists, one behind the other, each on its index. The cursor keeps the day's end that the first page had, or at
    midnight a ticket would come twice or never."""
    limit, values, late = query["limit"], None, False
    ends = tomorrow(work)
    if query["cursor"]:
        late, ends, *values = pagination.opened(query["cursor"], _SCOPE, work.vault, 4)
    base = orders.IDS.where(*orders.conditions(work, query, work.clock.now()), *matching)
    ids: list[int] = []
    if not late:
        due = base.where(T.remind_at.is_not(None), T.remind_at < ends)
        ids += execute(work.session, pagination.after(due, _BY_REMINDER, values, limit), {}).scalars()
        values = None
    reminded = len(ids)
    if reminded <= limit:
        order = orders.ORDERS[NEWEST]
        others = base.where(or_(T.remind_at.is_(None), T.remind_at >= ends))
        ids += execute(work.session, pagination.after(others, order, values, limit - reminded), {}).scalars()
    rows = queries.rows(work, ids[:limit])
    if len(ids) <= limit:
        return rows, None
    # where the page ends with the last reminder, the next one begins with the first of the others
    late, order = (False, _BY_REMINDER) if reminded >= limit else (True, orders.ORDERS[NEWEST])
    return rows, pagination.sealed([late, ends, *order.read(rows[-1])], _SCOPE, work.vault)
