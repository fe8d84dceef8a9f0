"""Short ways to say what the tests of tickets say often."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table, select

from conftest import Api
from deskplane.app import Desk
from deskplane.migrations.tables import metadata
from deskplane.outbox.models import Message
from deskplane.tickets.announcements import TOPIC


def opened(api: Api, title: str = "The printer is on fire", **fields: Any) -> dict[str, Any]:
    """A new ticket."""
    found: dict[str, Any] = api.call("POST", "/tickets", {"title": title, **fields}, status=201)
    return found


def changed(api: Api, number: str, answers: int = 200, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    """PATCH /tickets/{number}, which must answer so."""
    return api.call("PATCH", f"/tickets/{number}", fields, status=answers, headers=headers or {})


def read(api: Api, number: str) -> dict[str, Any]:
    """The ticket as it is now."""
    found: dict[str, Any] = api.call("GET", f"/tickets/{number}")
    return found


def listed(api: Api, query: str = "") -> list[str]:
    """The titles that a list answers, in its order."""
    return [ticket["title"] for ticket in api.call("GET", f"/tickets{query}")["items"]]


def history(api: Api, number: str) -> list[dict[str, Any]]:
    """Every entry of a ticket's history."""
    found: list[dict[str, Any]] = api.call("GET", f"/tickets/{number}/history?limit=200")["items"]
    return found


def messages(api: Api, number: str) -> list[dict[str, Any]]:
    """Every message on a ticket."""
    found: list[dict[str, Any]] = api.call("GET", f"/tickets/{number}/messages")["items"]
    return found


def places(problem: dict[str, Any]) -> dict[str, str]:
    """Which fields a problem names, and with which code."""
    return {error["pointer"].removeprefix("#/"): error["code"] for error in problem["errors"]}


def events(desk: Desk) -> list[tuple[str, str]]:
    """The events in the outbox, oldest first, with the ticket's number."""
    with desk.database.transaction(write=False) as session:
        rows = session.execute(select(Message.payload).where(Message.topic == TOPIC).order_by(Message.id)).scalars()
        return [(row["event"], row["ticket_number"]) for row in rows]


def dump(desk: Desk) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, apart from the last use of keys."""
    found = {}
    with desk.database.transaction(write=False) as session:
        for table in metadata.sorted_tables:
            rows = session.execute(select(*_lasting(table))).all()
            found[table.name] = sorted((tuple(row) for row in rows), key=repr)
    return found


def _lasting(table: Table) -> list[Any]:
    return [column for column in table.columns if column.name != "last_used_at"]


def role(api: Api, name: str, *permissions: str) -> str:
    """A role with these permissions, besides the access to tickets."""
    api.apply("roles", name=name, permissions=["tickets:access", *permissions])
    return name


def person(api: Api, username: str, *permissions: str, **fields: Any) -> Api:
    """A user with exactly these permissions, and `tickets:access`."""
    return api.as_user(username, roles=[role(api, f"of {username}", *permissions)], **fields)


EVERYTHING = ("tickets:view_all", "tickets:view_all_departments")
"""What lets one see every ticket."""
