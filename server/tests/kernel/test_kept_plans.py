"""PostgreSQL plans once what is read by keys, anew what a filter finds, and a connection that broke is replaced."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from conftest import Api, Postgres, settings
from deskplane.app import Desk, create_app, make_desk
from deskplane.kernel import db
from deskplane.kernel.db import Database
from deskplane.people import keys, service

pytestmark = pytest.mark.only_on("postgresql")  # SQLite keeps no plans


@pytest.fixture
def on_postgresql(postgres: Postgres) -> Iterator[Api]:
    """A desk with one connection of each sort, so that every request has the same one."""
    desk: Desk = make_desk(settings(postgres.emptied()))
    desk.database.dispose()
    desk.database = Database(postgres.url, pool_size=1)

    def make(session: Session) -> str:
        work = desk.command_line(session)
        service.create_admin(work, "root", None)
        return keys.make(work, service.find_user(session, "root").id, {"name": "test"})

    key = desk.database.run(make, write=True)
    yield Api(create_app(desk).test_client(), key, desk)
    desk.database.dispose()


def plans(api: Api) -> dict[str, int]:
    """What the connection that reads has prepared, and how often one plan for all parameters was used."""
    asked = text("SELECT statement, generic_plans FROM pg_prepared_statements")
    return dict(api.desk.database.run(lambda session: [tuple(row) for row in session.execute(asked)], write=False))


def test_what_is_read_by_keys_is_planned_once(on_postgresql: Api) -> None:
    api = on_postgresql
    number = api.call("POST", "/tickets", {"title": "a"}, status=201)["number"]
    for _ in range(20):
        api.call("GET", f"/tickets/{number}")
        api.call("GET", "/tickets?status=open&limit=50")
        api.call("GET", "/tickets/TKT-999999", status=404)  # what was prepared is kept behind a refusal, too
    found = plans(api)
    assert all(often > 5 for often in found.values()), found
    assert sum("FROM api_keys" in statement for statement in found) == 1
    assert any("tickets.prefix = " in statement for statement in found)
    assert any("tickets.id = any(" in statement for statement in found), found
    # a list finds few by one value and all by another: the plan depends on it
    assert not any("tickets.status = " in statement or "tickets.status IN" in statement for statement in found)


def test_a_column_that_changes_its_type_under_a_kept_plan_is_read_anew(on_postgresql: Api) -> None:
    api = on_postgresql
    number = api.call("POST", "/tickets", {"title": "a"}, status=201)["number"]
    for _ in range(8):
        api.call("GET", f"/tickets/{number}")
    change = text("ALTER TABLE tickets ALTER COLUMN source TYPE text")
    api.desk.database.run(lambda session: session.execute(change), write=True)
    try:
        assert api.call("GET", f"/tickets/{number}")["number"] == number
    finally:
        back = text("ALTER TABLE tickets ALTER COLUMN source TYPE varchar(20)")
        api.desk.database.run(lambda session: session.execute(back), write=True)


OTHERS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.mark.parametrize("idle", [0.0, 1000.0])
def test_a_connection_that_broke_is_replaced(
    on_postgresql: Api, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, idle: float
) -> None:
    """By trying it where it was idle for long; else the transaction is run anew."""
    api = on_postgresql
    number = api.call("POST", "/tickets", {"title": "a"}, status=201)["number"]
    other = Database(postgres.url, pool_size=1)
    monkeypatch.setattr(db, "_IDLE", idle)
    for method, body, status in (("GET", None, 200), ("PATCH", {"priority": "high"}, 200), ("GET", None, 200)):
        other.run(lambda session: session.execute(OTHERS).all(), write=True)
        api.call(method, f"/tickets/{number}", body, status=status)
    if idle == 0.0:  # without the retry of `run`
        other.run(lambda session: session.execute(OTHERS).all(), write=True)
        with api.desk.database.transaction(write=False) as session:
            assert session.execute(text("SELECT 1")).scalar_one() == 1
    other.dispose()
