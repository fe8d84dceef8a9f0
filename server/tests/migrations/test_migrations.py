"""Migrations: from the first one to what the models say, on both databases, by however many at once."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text

from conftest import settings
from deskplane import __version__, migrations
from deskplane.app import make_desk, migrate
from deskplane.audit import triggers as audit_triggers
from deskplane.migrations.tables import metadata
from deskplane.tickets import search
from deskplane.tickets.models import Ticket, TicketCount, TicketPause, TicketTold
from deskplane.tickets.triggers import POSTGRESQL as TRIGGERS_POSTGRESQL
from deskplane.tickets.triggers import SQLITE as TRIGGERS_SQLITE


def _indexes(connection: Any) -> dict[str, str]:
    """Every index with an expression or a condition, which alembic's comparison leaves out: name to definition."""
    if connection.dialect.name == "sqlite":
        statement = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    else:
        statement = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()"
    return {name: " ".join(definition.split()) for name, definition in connection.execute(text(statement))}


def _is_fts(name: str) -> bool:
    """Whether it is SQLite's table for full text, which is none of the models, or one of those that it consists of."""
    return name.startswith("ticket_search")


def _is_compared(_thing: Any, name: str, kind: str, *_others: Any) -> bool:
    """Leaves out an index whose expression PostgreSQL words in its own way; it is compared by hand."""
    return name != "ix_tickets_due_at" and (kind != "table" or not _is_fts(name))


# those indexes are compared by hand below
@pytest.mark.feature("F258")
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_the_migrations_lead_to_what_the_models_say(empty_url: str) -> None:
    desk = make_desk(settings(empty_url))
    script = ScriptDirectory.from_config(migrations.config())
    for step in reversed(list(script.walk_revisions())):
        migrations.upgrade(desk.database, step.revision)
    with desk.database.writing.connect() as connection:
        assert migrations.revision_of(connection) == migrations.head()
        options = {"compare_type": True, "include_object": _is_compared}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
        migrated = _indexes(connection)
        tables = {name for name in inspect(connection).get_table_names() if not _is_fts(name)}
    assert tables == {table.name for table in metadata.tables.values()} | {"alembic_version"}
    # what the models would make by themselves, beside it
    with desk.database.writing.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
        metadata.drop_all(connection)
        metadata.create_all(connection)
    with desk.database.writing.connect() as connection:
        made = _indexes(connection)
    made = {name: definition for name, definition in made.items() if "alembic" not in name}
    assert {name: value for name, value in migrated.items() if "alembic" not in name} == made
    assert any("coalesce" in definition.lower() for definition in made.values())
    desk.database.dispose()


AT = "2026-01-02 03:04:05+00:00"


def of_a_kind(object_id: str) -> dict[str, Any]:
    """The columns that the table of every kind has."""
    return {"id": object_id, "version": 1, "created_at": AT, "updated_at": AT}


def test_an_upgrade_keeps_what_an_older_version_stored(empty_url: str) -> None:
    """A desk as the first migration made it, with something in each table that changed since, brought to the newest."""
    desk = make_desk(settings(empty_url))
    migrations.upgrade(desk.database, "0001")
    at = AT
    with desk.database.writing.begin() as connection:
        rows = {
            "idempotency_keys": {
                "caller": "u1",
                "key": "k1",
                "request": "f" * 64,
                "status": 201,
                "body": b"{}",
                "location": "/api/v1/tickets/TKT-000001",
                "created_at": at,
            },
            "outbox": {"topic": "t", "payload": "{}", "created_at": at, "available_at": at, "attempts": 0},
            "customers": {
                **of_a_kind("c1"),
                **{"name": "ACME", "address": "", "notes": "", "features": "{}", "quotas": "{}"},
            },
            "sla_policies": {
                **of_a_kind("p1"),
                **dict.fromkeys(("name", "description"), "gold"),
                **{"enabled": True, "position": 1, "priorities": "[]", "warn_minutes": 1, "critical_minutes": 1},
            },
            "settings": {**of_a_kind("s1"), "key": "numbering.prefix", "value": '"OPS"'},
            "users": {
                **of_a_kind("u1"),
                **dict.fromkeys(("username", "first_name", "last_name", "start_page"), "mia"),
                **{"enabled": True, "features": "{}", "starred_customer_id": "c1"},
            },
        }
        groups = ("imap", "smtp", "auto_reply", "follow_up", "time_tracking", "cleanup", "notifications")
        department = {
            **of_a_kind("d1"),
            **{"name": "Desk", "description": "", "enabled": True, "auto_assign_on_open": False, "customer_id": "c1"},
            **dict.fromkeys(groups, "{}"),
        }
        for table, row in rows.items():
            names = ", ".join(row)
            values = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)
        for number, workflow in enumerate((None, "free", "itil")):
            row = {**department, "id": f"d{number}", "name": f"Desk {number}", "workflow": workflow}
            names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO departments ({names}) VALUES ({values})"), row)
            # what points at a row must outlive a change of the row's table
            connection.execute(text(f"INSERT INTO department_members VALUES ('d{number}', 'u1')"))
        before = {table: connection.execute(text(f"SELECT * FROM {table}")).mappings().all() for table in rows}
    assert migrate(desk) == ("0001", migrations.head())
    with desk.database.reading.connect() as connection:
        for table, kept in before.items():
            found = connection.execute(text(f"SELECT * FROM {table}")).mappings().all()
            found = [row for row in found if row.get("id") in {old.get("id") for old in kept}]
            assert [{name: row[name] for name in old} for row, old in zip(found, kept, strict=True)] == kept
        workflows = (
            "SELECT departments.id, workflows.name FROM departments LEFT JOIN workflows ON workflow_id = workflows.id"
        )
        assert dict(connection.execute(text(workflows)).all()) == {"d0": None, "d1": "free", "d2": "itil"}
        assert connection.execute(text("SELECT count(*) FROM department_members")).scalar_one() == 3
        policy = connection.execute(text("SELECT calendar_id, pause_statuses, on_reopen FROM sla_policies")).one()
        assert (policy[0], str(policy[1]).replace("'", '"'), policy[2]) == (None, '["waiting"]', "continue")
        assert connection.execute(text("SELECT count(*) FROM workflows WHERE shipped")).scalar_one() == 2
    desk.database.dispose()


def test_what_a_clock_stood_still_becomes_a_pause_that_moves_its_deadline_by_as_much(empty_url: str) -> None:
    desk = make_desk(settings(empty_url))
    migrations.upgrade(desk.database, "0005")
    hour = 3600 * 10**6
    with desk.database.writing.begin() as connection:
        for number, still in enumerate((0, 2 * hour), start=1):
            row = {
                "version": 1,
                "prefix": "TKT",
                "sequence": number,
                **dict.fromkeys(("title", "description", "status", "source"), "open"),
                **dict.fromkeys(("priority", "effective_priority"), 1),
                **dict.fromkeys(("occurrences", "reopened_count", "response_stood_still"), 0),
                **dict.fromkeys(("created_at", "updated_at"), "2026-01-02T03:04:05.000000+00:00"),
                "resolution_stood_still": still,
            }
            names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO tickets ({names}) VALUES ({values})"), row)
    migrate(desk)
    with desk.database.transaction(write=False) as session:
        (pause,) = session.execute(select(TicketPause)).scalars()
        assert pause.until - pause.since == timedelta(hours=2)
        assert session.execute(select(Ticket.sequence).where(Ticket.id == pause.ticket_id)).scalar_one() == 2
        assert session.execute(select(Ticket.resolution_left)).scalars().all() == [None, None]
    desk.database.dispose()


def test_an_upgrade_makes_what_is_there_found_and_counted(empty_url: str) -> None:
    desk = make_desk(settings(empty_url))
    migrations.upgrade(desk.database, "0007")
    with desk.database.writing.begin() as connection:
        row = {
            "version": 1,
            "prefix": "TKT",
            "sequence": 1,
            **dict.fromkeys(("title", "description", "source"), "Café"),
            "status": "waiting",
            **dict.fromkeys(("priority", "effective_priority"), 1),
            **dict.fromkeys(("occurrences", "reopened_count"), 0),
            **dict.fromkeys(("created_at", "updated_at"), "2026-01-02T03:04:05.000000+00:00"),
        }
        names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO tickets ({names}) VALUES ({values})"), row)
        row = {"ticket_id": 1, "author": "mia", "created_at": row["created_at"]}
        for direction, body in (("internal", "canary"), ("outbound", "Fuser")):
            message = {**row, "direction": direction, "body": body}
            names, values = ", ".join(message), ", ".join(f":{name}" for name in message)
            connection.execute(text(f"INSERT INTO ticket_messages ({names}) VALUES ({values})"), message)
    migrate(desk)
    work = desk.command_line
    with desk.database.transaction(write=False) as session:
        for q, count in (("cafe", 1), ("tkt-000001 fuser", 1), ("canary", 1), ("other", 0)):
            assert len(session.execute(select(Ticket.id).where(search.matching(work(session), q))).all()) == count, q
        assert session.execute(select(TicketCount.status, TicketCount.number)).all() == [("waiting", 1)]
        triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if not desk.database.is_sqlite:
            triggers = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
        wanted = {*TRIGGERS_SQLITE, *audit_triggers.SQLITE}
        if not desk.database.is_sqlite:
            wanted = {*TRIGGERS_POSTGRESQL, *audit_triggers.POSTGRESQL}
        assert set(session.execute(text(triggers)).scalars()) == wanted
    desk.database.dispose()


def test_deadlines_of_before_are_taken_as_told_and_those_to_come_are_not(empty_url: str) -> None:
    desk = make_desk(settings(empty_url))
    migrations.upgrade(desk.database, "0020")
    past, future = "2026-01-02T03:04:05.000000+00:00", "2126-01-02T03:04:05.000000+00:00"
    with desk.database.writing.begin() as connection:
        for number, (phase, warn_at, due_at) in enumerate(
            [("running", past, past), ("running", past, future), ("running", future, future), ("stopped", past, past)],
            start=1,
        ):
            row = {
                **dict.fromkeys(("title", "description", "source", "prefix"), "x"),
                **dict.fromkeys(("priority", "effective_priority", "version", "occurrences", "reopened_count"), 1),
                **dict.fromkeys(("created_at", "updated_at"), past),
                **{"status": "open", "sequence": number, "resolution_phase": phase},
                **{"resolution_warn_at": warn_at, "resolution_due_at": due_at},
            }
            names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO tickets ({names}) VALUES ({values})"), row)
    migrate(desk)
    with desk.database.transaction(write=False) as session:
        told = session.execute(select(TicketTold.ticket_id, TicketTold.clock, TicketTold.event)).all()
        assert sorted(told) == [
            (1, "resolution", "sla_breached"),
            (1, "resolution", "sla_warning"),
            (2, "resolution", "sla_warning"),
        ]
        at = session.execute(select(Ticket.sla_tell_at).order_by(Ticket.id)).scalars().all()
        assert [moment and moment.year for moment in at] == [None, 2126, 2126, None]
    desk.database.dispose()


def test_a_second_run_changes_nothing(empty_url: str) -> None:
    desk = make_desk(settings(empty_url))
    assert migrate(desk) == (None, migrations.head())
    with desk.database.transaction(write=False) as session:
        before = [session.execute(table.select()).all() for table in metadata.sorted_tables]
    assert migrate(desk) == (migrations.head(), migrations.head())
    with desk.database.transaction(write=False) as session:
        assert [session.execute(table.select()).all() for table in metadata.sorted_tables] == before
    desk.database.dispose()


def test_processes_that_migrate_at_once_do_it_once(empty_url: str) -> None:
    program = (
        "import sys; from deskplane.app import make_desk, migrate; from deskplane.settings import Settings; "
        "desk = make_desk(Settings(environment='test', database_url=sys.argv[1], secret_key='x' * 40)); "
        "sys.stdin.readline(); print(migrate(desk)[0])"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, empty_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    assert sorted(out.strip() for out, _ in answers) == sorted(["None", *[migrations.head()] * 2])


@pytest.mark.feature("F260")
@pytest.mark.parametrize(("on_start", "found"), [("true", migrations.head()), ("false", None)], ids=["on", "off"])
def test_a_server_brings_its_database_up_to_date_before_it_serves_or_refuses_an_old_one(
    empty_url: str, on_start: str, found: str | None
) -> None:
    program = "from deskplane import cli, serving; serving.run = lambda settings: print('serving'); cli.main(['serve'])"
    variables = {
        "DESKPLANE_SECRET_KEY": "vX3kq9Zt7Lw2Rb8Nc5Hd1Gf6Js4Kp0Ym-Qe",
        "DESKPLANE_DATABASE_URL": empty_url,
        "DESKPLANE_BIND": "127.0.0.1:0",
        "DESKPLANE_MIGRATE_ON_START": on_start,
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | variables, capture_output=True, text=True, timeout=120
    )
    if found is None:
        assert (done.returncode, done.stdout) == (1, "")
        assert (
            f"is at migration none, and Deskplane {__version__} needs {migrations.head()}; run: deskplane"
            in done.stderr
        )
    else:
        assert (done.returncode, done.stdout) == (0, "serving\n"), done.stderr
    desk = make_desk(settings(empty_url))
    with desk.database.writing.connect() as connection:
        assert migrations.revision_of(connection) == found
    desk.database.dispose()


@pytest.mark.provokes(503)
def test_a_server_whose_database_is_not_migrated_is_not_ready(empty_url: str) -> None:
    from deskplane.app import create_app

    desk = make_desk(settings(empty_url))
    answer = create_app(desk).test_client().get("/readyz")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.get_json()["type"] == "urn:deskplane:problem:not_migrated"
    migrate(desk)
    assert create_app(desk).test_client().get("/readyz").status_code == 200
    desk.database.dispose()


@pytest.mark.provokes(503)
def test_a_database_out_of_reach_is_503_and_the_process_stays_alive() -> None:
    from deskplane.app import create_app

    desk = make_desk(settings("postgresql+psycopg://desk:canary-Xy7Qw2@127.0.0.1:1/desk"))
    client = create_app(desk).test_client()
    key = {"Authorization": "Bearer dpk_000000000000_" + "x" * 43, "Content-Type": "application/json"}
    for answer in (
        client.get("/readyz"),
        client.get("/api/v1/labels", headers=key),
        client.post("/api/v1/labels/apply", data='{"name": "x"}', headers=key),
    ):
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "canary" not in answer.get_data(as_text=True)
    assert client.get("/healthz").status_code == 200


def test_what_this_version_knows_is_what_alembic_finds() -> None:
    script = ScriptDirectory.from_config(migrations.config())
    assert migrations.head() == script.get_current_head()
    assert set(migrations.known()) == {step.revision for step in script.walk_revisions()}
