"""Two versions on one database: what a rolling upgrade stands on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from conftest import DATABASES, Api, settings
from crash.crash_servers import Process, Server
from deskplane import migrations
from deskplane.app import Desk, create_app, make_desk, migrate
from deskplane.kernel.revision import raise_revision
from deskplane.people import keys, service
from migrations.contractions import ROOT, VERSIONS, code_before, findings, released, unpacked

NEXT = "9999"


def test_no_migration_takes_from_the_version_before_what_it_needs() -> None:
    known = released()
    found = [
        finding
        for file in sorted((ROOT / VERSIONS).glob("[0-9]*_*.py"))
        for finding in findings(file.name[:4], file.read_text(), known)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("step", "named"),
    [
        ('op.drop_column("tickets", "source")', "drop_column"),
        ('op.drop_table("labels")', "drop_table"),
        ('op.rename_table("labels", "tags")', "rename_table"),
        ('op.alter_column("tickets", "source", new_column_name="origin")', "new_column_name"),
        ('op.alter_column("tickets", "source", nullable=False)', "nullable=False"),
        ('op.alter_column("tickets", "source", type_=sa.Integer())', "type_"),
        ('with op.batch_alter_table("tickets") as batch:\n    batch.drop_column("source")', "line 2: drop_column"),
        ('op.add_column("tickets", sa.Column("x", sa.Integer(), nullable=False))', "no server_default"),
        ('op.create_index("ix", "tickets", ["x"], unique=True)', "unique"),
        ('op.create_unique_constraint("uq", "tickets", ["x"])', "create_unique_constraint"),
        ('op.execute("ALTER TABLE tickets DROP COLUMN x")', "SQL"),
        ('op.get_bind().exec_driver_sql("drop table labels")', "SQL"),
    ],
)
def test_a_migration_that_takes_something_away_is_refused(step: str, named: str) -> None:
    (finding,) = findings(NEXT, step, {"0030"})
    assert named in finding
    assert findings(NEXT, f'{step}\nraise_floor(op.get_bind(), "0030")', {"0030"}) == []
    assert findings(NEXT, f'{step}\nraise_floor(op.get_bind(), "0031")', set()) == []
    (early,) = findings(NEXT, f'{step}\nraise_floor(op.get_bind(), "0031")', {"0030"})
    assert "wait for the next one" in early


@pytest.mark.parametrize(
    "step",
    [
        'op.add_column("tickets", sa.Column("x", sa.Integer(), nullable=True))',
        'op.add_column("tickets", sa.Column("x", sa.Integer(), server_default="0", nullable=False))',
        'op.create_index("ix", "tickets", ["x"])',
        'op.create_table("new", sa.Column("id"))\nop.create_index("ix", "new", ["id"], unique=True)',
        'op.execute("UPDATE tickets SET x = 1")',
        'op.drop_index("ix", "tickets")',
    ],
)
def test_a_migration_that_only_adds_is_taken(step: str) -> None:
    assert findings(NEXT, step, set()) == []


@pytest.mark.parametrize("database", DATABASES)
def test_the_version_before_goes_on_while_its_database_is_migrated(
    request: pytest.FixtureRequest, database: str, tmp_path: Path
) -> None:
    is_sqlite = database == "sqlite"
    url = f"sqlite:///{tmp_path / 'desk.db'}" if is_sqlite else request.getfixturevalue("postgres").new()
    server = Server(url, tmp_path, workers=1)
    server.variables["PYTHONPATH"] = str(unpacked(code_before(migrations.head()), tmp_path / "before"))
    server.start()
    desk = make_desk(settings(url))
    try:
        before, after = migrate(desk)
        assert (before in migrations.known()[:-1], after) == (True, migrations.head())
        desk.database.run(lambda session: service.create_admin(desk.command_line(session), "root", None), write=True)
        key = desk.database.run(
            lambda session: keys.make(
                desk.command_line(session), service.find_user(session, "root").id, {"name": "test"}
            ),
            write=True,
        )
        api = Api(create_app(desk).test_client(), key, desk)

        def call(method: str, path: str, body: object, status: int) -> dict[str, object]:
            answered, _headers, found = server.request(method, f"/api/v1{path}", body, key)
            assert answered == status, found
            return dict(found)

        call("POST", "/customers/apply", {"name": "ACME", "features": {"public_api": True}}, 201)
        assert call("POST", "/tickets", {"title": "by the old one", "customer": "ACME"}, 201)["number"] == "TKT-000001"
        assert call("PATCH", "/tickets/TKT-000001", {"priority": "high"}, 200)["priority"] == "high"
        call("POST", "/tickets/TKT-000001/messages", {"body": "done", "direction": "internal"}, 201)
        api.call("POST", "/tickets", {"title": "by the new one"}, status=201)
        assert len(call("GET", "/tickets?q=one", None, 200)["items"]) == 2  # type: ignore[arg-type]
        assert call("GET", "/configuration", None, 200)
        assert server.request("GET", "/public/v1/tickets", None, key)[0] == 200
        assert api.call("GET", "/tickets/TKT-000001")["title"] == "by the old one"
    finally:
        server.kill()
        desk.database.dispose()


@contextmanager
def ahead(desk: Desk, floor: str) -> Iterator[None]:
    """The database as a newer version would make it, that asks for this floor."""

    def put(migration: str) -> None:
        with desk.database.writing.begin() as connection:
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{migration}'"))
            connection.execute(text("UPDATE schema_floor SET migration = :floor"), {"floor": floor})

    put(NEXT)
    yield
    put(migrations.head())  # the next test has the same database


@pytest.mark.provokes(503)
def test_a_server_goes_on_where_a_newer_version_only_added_to_its_database(
    api: Api, desk: Desk, database_url: str
) -> None:
    with ahead(desk, migrations.head()):
        ready = api.request("GET", "/readyz")
        assert (ready.status_code, ready.get_json()["migrations"]) == (200, NEXT)
        refused = api.request("GET", "/admin/backup")
        assert refused.status_code == 503, "what this version does not know would be missing from it"
        newer = make_desk(settings(database_url))
        with newer.database.writing.begin() as connection:
            connection.execute(text("UPDATE roles SET permissions = '[]'"))
        assert migrate(newer) == (NEXT, NEXT)
        with newer.database.writing.connect() as connection:
            assert set(map(str, connection.execute(text("SELECT permissions FROM roles")).scalars())) == {"[]"}
        newer.database.dispose()


@pytest.mark.provokes(503)
def test_a_database_that_a_newer_version_took_something_from_is_refused(
    api: Api, desk: Desk, database_url: str, tmp_path: Path
) -> None:
    with ahead(desk, NEXT):
        ready = api.request("GET", "/readyz")
        assert (ready.status_code, ready.get_json()["type"]) == (503, "urn:deskplane:problem:not_migrated")
        with pytest.raises(ValueError, match="does not know"):
            migrate(desk)
        worker = Process(["worker"], Server(database_url, tmp_path).variables, tmp_path / "worker.log")
        assert worker.popen.wait(60) == 1
        assert f"is at migration {NEXT}, which Deskplane" in worker.log.read_text()


def test_a_floor_is_raised_and_never_lowered(desk: Desk) -> None:
    from deskplane.migrations.floor import floor_of, raise_floor

    with desk.database.writing.begin() as connection:
        for to, found in (("7030", "7030"), ("0028", "7030")):
            raise_floor(connection, to)
            assert floor_of(connection) == found


@pytest.mark.provokes(503)
def test_an_empty_database_has_no_floor(tmp_path: Path) -> None:
    from deskplane.migrations.floor import floor_of

    desk = make_desk(settings(f"sqlite:///{tmp_path / 'desk.db'}"))
    with desk.database.reading.connect() as connection:
        assert floor_of(connection) == ""
    assert create_app(desk).test_client().get("/readyz").status_code == 503
    desk.database.dispose()


def test_a_setting_that_a_newer_version_has_shipped_is_left_alone(api: Api) -> None:
    with api.desk.database.transaction(write=True) as session:
        session.execute(
            text("UPDATE settings SET key = 'of.the_next', value = 'true' WHERE key = 'public_api.requests_per_minute'")
        )
        raise_revision(session)
    whole = api.call("GET", "/configuration")
    assert "of.the_next" not in str(whole)
    api.call("POST", "/configuration/apply", whole)
    assert "of.the_next" in str(api.call("GET", "/settings?limit=100"))
