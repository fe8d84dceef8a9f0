"""The endpoints of the login history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, select

from deskplane.kernel import pagination
from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.login.schemas import AllEvents, EventEntry, OwnEvents
from deskplane.people.login_events import E

TAG = "login"
MANAGING = ("users:manage", "audit:read")
_ORDER = pagination.Order(((E.id, True),), lambda row: (row["id"],))
_COLUMNS = tuple(E[name] for name in EventEntry().fields)


def _page(call: Call, scope: str, *conditions: ColumnElement[bool]) -> Reply:
    query, vault, limit = call.query, call.vault, call.query["limit"]
    statement = select(E.id, *_COLUMNS).where(*conditions)
    if query["event"] is not None:
        statement = statement.where(E.event == query["event"])
    statement = pagination.page(statement, _ORDER, scope=scope, cursor=query["cursor"], limit=limit, vault=vault)
    rows = call.session.execute(statement).mappings().all()
    rows, following = pagination.cut(rows, _ORDER, scope=scope, limit=limit, vault=vault)
    items: list[dict[str, Any]] = [{name: value for name, value in row.items() if name != "id"} for row in rows]
    return Reply({"items": items, "next_cursor": following})


def own(call: Call) -> Reply:
    """GET /account/logins"""
    return _page(call, "own logins", E.user_id == call.actor.user_id)


def everyones(call: Call) -> Reply:
    """GET /logins"""
    name = call.query["username"]
    return _page(call, "logins", *([] if name is None else [E.username == name]))


def of_user(call: Call) -> Reply:
    """GET /users/{id}/logins. What is said of an account outlasts it, so that there is none that is not found."""
    return _page(call, f"logins of {call.path['id']}", E.user_id == call.path["id"])


def operations() -> Iterable[Operation]:
    """The operations on the history."""
    page = pagination.page_schema(object_schema(described(EventEntry()), answer=True))
    answers: dict[int, tuple[str, dict[str, Any] | None]] = {200: ("A page.", page)}
    yield Operation(
        "list_own_logins",
        "GET",
        "/api/v1/account/logins",
        own,
        "What happened to one's own account, the newest first",
        TAG,
        session=True,
        query=OwnEvents,
        answers=answers,
    )
    yield Operation(
        "list_logins",
        "GET",
        "/api/v1/logins",
        everyones,
        "What happened to all accounts, the newest first",
        TAG,
        permission=MANAGING,
        query=AllEvents,
        answers=answers,
        description="Kept for as many days as the setting C(retention.login_history_days) says.",
    )
    yield Operation(
        "list_user_logins",
        "GET",
        "/api/v1/users/{id}/logins",
        of_user,
        "What happened to an account, the newest first",
        TAG,
        permission=MANAGING,
        query=OwnEvents,
        answers=answers,
    )
