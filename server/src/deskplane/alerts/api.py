"""The endpoints of alerts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from marshmallow import Schema
from sqlalchemy import select, update

from deskplane.alerts.service import ALERTS, KINDS, A
from deskplane.kernel import pagination
from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.fields import Choice, Flag, Moment, Text, Whole
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.kernel.problem import not_found

BASE = "/api/v1/alerts"
RIGHT = ("settings:manage",)
_ORDER = pagination.Order(((A.first_seen_at, True), (A.id, True)), lambda row: (row["first_seen_at"], row["id"]))


class AlertList(Schema):
    """Which alerts."""

    open = Flag("Only those that are open, or, if false, only those that are over.")
    kind = Choice("Only those of this kind.", tuple(KINDS))
    limit = Whole("How many entries a page has.", least=1, most=pagination.MAX_LIMIT, default=pagination.DEFAULT_LIMIT)
    cursor = Text("The next_cursor of the page before.", longest=2000)


class AlertAnswer(Schema):
    """An alert."""

    id = Text("Its id.", read_only=True)
    kind = Choice("What sort of trouble it is.", tuple(KINDS), read_only=True)
    key = Text("What it is about: an id or a name, as its kind says.", read_only=True)
    text = Text("What is wrong, as it was last seen.", read_only=True)
    first_seen_at = Moment("When it was first seen.", read_only=True)
    last_seen_at = Moment("When it was last seen.", read_only=True)
    count = Whole("How often it was seen.", read_only=True)
    open = Flag("Whether it lasts.", read_only=True)
    cleared_at = Moment("When it was over; null while it lasts.", read_only=True)
    acknowledged_at = Moment("When somebody took notice; null if nobody did.", read_only=True)
    acknowledged_by = Text("Who took notice.", read_only=True)


def _shown(row: Any) -> dict[str, Any]:
    return {**row, "open": row["cleared_at"] is None}


def listing(call: Call) -> Reply:
    """GET /alerts, the newest first."""
    query, vault = call.query, call.vault
    limit = query["limit"]
    statement = select(ALERTS)
    if query["open"] is not None:
        statement = statement.where(A.cleared_at.is_(None) if query["open"] else A.cleared_at.is_not(None))
    if query["kind"] is not None:
        statement = statement.where(A.kind == query["kind"])
    statement = pagination.page(statement, _ORDER, scope="alerts", cursor=query["cursor"], limit=limit, vault=vault)
    rows = call.session.execute(statement).mappings().all()
    rows, following = pagination.cut(rows, _ORDER, scope="alerts", limit=limit, vault=vault)
    return Reply({"items": [_shown(row) for row in rows], "next_cursor": following})


def acknowledge(call: Call) -> Reply:
    """POST /alerts/{id}/acknowledge. Who was first stays."""
    one = A.id == call.path["id"]
    values = {"acknowledged_at": call.clock.now(), "acknowledged_by": call.actor.username}
    call.session.execute(update(ALERTS).where(one, A.acknowledged_at.is_(None)).values(**values))
    row = call.session.execute(select(ALERTS).where(one)).mappings().first()
    if row is None:
        raise not_found()
    return Reply(_shown(row))


def operations() -> Iterable[Operation]:
    """Every operation on alerts."""
    thing = object_schema(described(AlertAnswer()), answer=True)
    page = pagination.page_schema(thing)
    yield Operation(
        "list_alerts",
        "GET",
        BASE,
        listing,
        "List alerts, the newest first",
        "alerts",
        permission=RIGHT,
        query=AlertList,
        answers={200: ("A page.", page)},
        description="Troubles that the desk found by itself. Each is open until it is over; seen again in the meantime "
        "it is counted, and not told anew.",
    )
    yield Operation(
        "acknowledge_alert",
        "POST",
        f"{BASE}/{{id}}/acknowledge",
        acknowledge,
        "Say that an alert was noticed",
        "alerts",
        permission=RIGHT,
        write=True,
        answers={200: ("The alert.", thing)},
        description="It stays open until its trouble is over. Who noticed it first stays on it.",
    )
