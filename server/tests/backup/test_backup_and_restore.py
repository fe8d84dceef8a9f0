"""A backup holds the whole desk as it was at one moment, and a restore makes that desk again, or touches nothing."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from backup_help import opened
from sqlalchemy import text

from conftest import DATABASES, Api, Postgres, TurnedClock, settings
from deskplane import migrations
from deskplane.app import Desk, create_app, make_desk, migrate
from deskplane.backup import restore as restoring
from deskplane.backup import snapshot
from deskplane.backup.archive import ArchiveWriter, BadBackup
from deskplane.kernel.db import Database
from deskplane.kernel.problem import Problem
from dumps import dump

PASSPHRASE = "correct horse battery staple"


def silent(_table: str, _rows: int) -> None:
    pass


def archived(desk: Desk, passphrase: str | None = None) -> bytes:
    file = io.BytesIO()
    with desk.database.transaction(write=False) as session:
        snapshot.write(session, file, desk.clock, desk.vault, passphrase)
    return file.getvalue()


def restored(desk: Desk, data: bytes, passphrase: str | None = None) -> None:
    restoring.verify(io.BytesIO(data), passphrase)
    restoring.restore(desk.database, io.BytesIO(data), passphrase, silent)
    migrate(desk)


def kept(found: dict[str, Any]) -> dict[str, Any]:
    """What a restore gives back: all but the revision's number and who works now."""
    left = {name: rows for name, rows in found.items() if name not in ("revisions", "workers")}
    # each database has a way of its own to write what a ticket is found by
    words = [
        (number, *(sorted(text.replace("'", "").split()) for text in texts))
        for number, *texts, _bytes in left["ticket_words"]
    ]
    return {**left, "ticket_words": words}


@pytest.fixture(params=DATABASES)
def other(request: pytest.FixtureRequest, tmp_path: Path, clock: TurnedClock) -> Iterator[Desk]:
    """An empty database of each sort, for a desk of each sort to be restored into."""
    url = f"sqlite:///{tmp_path / 'other.db'}"
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.new()
    found = make_desk(settings(url), clock)
    yield found
    found.database.dispose()


@pytest.fixture
def busy(api: Api) -> Api:
    """A desk with something of everything that needs care on its way: bytes, times, secrets, nulls, self-references."""
    api.apply("customers", name="ACME", number_prefix="AC", features={"asset_integration": True})
    api.apply("departments", name="Support", imap={"server": "imap.example.org", "password": "a canary secret"})
    number = opened(api, "The printer is on fire – très grave", customer="ACME", tags=["fire"])["number"]
    first = api.call("POST", f"/tickets/{number}/messages", {"body": "Have you tried water?"}, 201)
    api.call("POST", f"/tickets/{number}/messages", {"body": "Yes.", "in_reply_to": first["id"]}, 201)
    headers = {"Content-Type": "application/pdf", "Content-Disposition": 'attachment; filename="p.pdf"'}
    path = f"/api/v1/tickets/{number}/attachments"
    headers["Authorization"] = f"Bearer {api.key}"
    answer = api.client.post(path, data=bytes(range(256)) * 2000, headers=headers)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    opened(api, "Another")
    return api


@pytest.mark.feature("F266")
@pytest.mark.feature("F271")
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_desk_comes_back_as_it_was_on_either_database(busy: Api, other: Desk, passphrase: str | None) -> None:
    before = dump(busy.desk)
    data = archived(busy.desk, passphrase)
    assert b"canary" not in data
    restored(other, data, passphrase)
    assert kept(dump(other)) == kept(before)

    there = Api(create_app(other).test_client(), busy.key, other)
    assert [item["number"] for item in there.call("GET", "/tickets?q=printer")["items"]] == ["AC-000001"]
    (file,) = there.call("GET", "/tickets/AC-000001/attachments")["items"]
    assert there.request("GET", f"/tickets/AC-000001/attachments/{file['id']}").data == bytes(range(256)) * 2000
    assert there.call("GET", "/tickets/counts") == busy.call("GET", "/tickets/counts")
    assert there.call("GET", "/configuration") == busy.call("GET", "/configuration")
    assert opened(there, "After", customer="ACME")["number"] == "AC-000002"
    assert opened(there, "After")["number"] == "TKT-000002"
    assert there.call("GET", "/tickets/counts")["counts"]["open"] == 4


def test_a_restore_takes_the_place_of_all_that_was_there(busy: Api, clock: TurnedClock) -> None:
    before, data = dump(busy.desk), archived(busy.desk)
    revision = before["revisions"]
    for n in range(3):
        opened(busy, f"later {n}")
    busy.apply("labels", name="later", color="#000000")
    restored(busy.desk, data)
    assert kept(dump(busy.desk)) == kept(before)
    now, then = dict(dump(busy.desk)["revisions"]), dict(revision)
    assert now["configuration"] > then["configuration"]
    assert now["service_levels"] == then["service_levels"], "else every deadline would be said to be worked out anew"
    assert busy.call("GET", "/labels")["items"] == []  # nothing is kept of what was


def test_a_backup_is_one_moment_while_others_write(busy: Api) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            opened(busy, "meanwhile")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = [restoring.verify(io.BytesIO(archived(busy.desk))) for _ in range(5)]
    finally:
        stop.set()
        writer.join()
    for one in found:
        # a creation writes one row of each, in one transaction
        assert one.rows["tickets"] == one.rows["ticket_words"]
    assert found[-1].rows["tickets"] > found[0].rows["tickets"]


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_byte_that_was_flipped_is_found_before_anything_is_touched(busy: Api, passphrase: str | None) -> None:
    before, data = dump(busy.desk), archived(busy.desk, passphrase)
    count = 60 if passphrase is None else 4  # each opening of a sealed one takes its time, on purpose
    for at in {*range(0, len(data), len(data) // count), len(data) - 9, len(data) - 1}:
        flipped = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        with pytest.raises(BadBackup):
            restoring.verify(io.BytesIO(flipped), passphrase)
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    with pytest.raises(BadBackup):
        restoring.restore(busy.desk.database, io.BytesIO(flipped), passphrase, silent)
    assert dump(busy.desk) == before


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_backup_whose_end_is_missing_is_refused(busy: Api, passphrase: str | None) -> None:
    data = archived(busy.desk, passphrase)
    for length in (0, 1, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(BadBackup):
            restoring.verify(io.BytesIO(data[:length]), passphrase)
    with pytest.raises(BadBackup):
        restoring.verify(io.BytesIO(data + data), passphrase)


def test_a_passphrase_is_needed_and_must_be_the_right_one(busy: Api) -> None:
    data = archived(busy.desk, PASSPHRASE)
    with pytest.raises(BadBackup, match="sealed with a passphrase"):
        restoring.verify(io.BytesIO(data))
    with pytest.raises(BadBackup, match="the passphrase is another one"):
        restoring.verify(io.BytesIO(data), "another")


def made(header: dict[str, Any], parts: dict[str, list[list[Any]]]) -> bytes:
    """An archive as somebody else might make it."""
    file = io.BytesIO()
    archive = ArchiveWriter(file, header)
    for table, rows in parts.items():
        archive.part(table, b"".join(json.dumps(row).encode() + b"\n" for row in rows), len(rows))
    archive.finish()
    return file.getvalue()


HEADER = {
    "version": "0.1.0",
    "created_at": "2026-01-01T00:00:00Z",
    "migration": "0001",
    "database": "sqlite",
    "sealed_with": "x",
    "tables": {"revisions": {"name": "plain", "number": "plain"}},
}


def test_an_older_backup_is_migrated(database_url: str, clock: TurnedClock) -> None:
    database = Database(database_url)
    data = made({**HEADER, "migration": "0003"}, {"revisions": [["configuration", 7]]})
    restoring.restore(database, io.BytesIO(data), None, silent)
    with database.transaction(write=False) as session:
        assert migrations.revision_of(session.connection()) == migrations.head()
    database.dispose()
    desk = make_desk(settings(database_url), clock)
    migrate(desk)
    assert {"configuration", "service_levels"} <= {name for name, _number in dump(desk)["revisions"]}
    desk.database.dispose()


NIGHT_SHIFT = """
INSERT INTO "groups" (id, version, created_at, updated_at, name, description)
VALUES ('019a9d3c', 1, '2026-01-01T00:00:00.000000Z', '2026-01-01T00:00:00.000000Z', 'night shift', '')
"""


@pytest.fixture
def behind(empty_url: str, clock: TurnedClock) -> Iterator[Desk]:
    """A desk whose database an older version has made."""
    desk = make_desk(settings(empty_url), clock)
    migrations.upgrade(desk.database, "0023")
    with desk.database.transaction(write=True) as session:
        session.execute(text(NIGHT_SHIFT))
    yield desk
    desk.database.dispose()


def test_the_backup_of_a_database_that_is_behind_leads_to_what_its_migration_does(behind: Desk, other: Desk) -> None:
    """Of a database that was kept without the version that made it, and of one that is ahead of the one that runs."""
    restored(other, archived(behind))
    with behind.database.transaction(write=False) as session:
        assert migrations.revision_of(session.connection()) == "0023"  # it was only read
    migrate(behind)
    assert "night shift" in str(dump(behind)["groups"])
    there, here = kept(dump(other)), kept(dump(behind))
    shipped = {"roles": [], "settings": []}  # made by each for itself at the end
    assert {**there, **shipped} == {**here, **shipped}


def test_no_backup_leaves_out_what_this_version_does_not_know(behind: Desk) -> None:
    with behind.database.transaction(write=True) as session:
        session.execute(text("ALTER TABLE roles ADD COLUMN of_old INTEGER"))
    with pytest.raises(Problem, match="no more all of roles; make the backup with the version"):
        archived(behind)
    with behind.database.transaction(write=True) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Problem, match=r"at migration 9999, .* make it with the newer one"):
        archived(behind)


@pytest.mark.parametrize(
    ("changed", "parts", "words"),
    [
        ({"migration": "9999", "version": "7.0"}, {}, "newer version \\(7.0"),
        ({"migration": None}, {}, "says nothing of migration"),
        ({}, {"tickets": []}, "no part of a backup"),
        ({}, {"revisions": [["configuration", 1], ["configuration", 2]]}, "do not fit"),
        ({}, {"revisions": [["configuration"]]}, "cannot be read"),
        ({"tables": {"nonsense": {"a": "plain"}}}, {}, "does not have: nonsense"),
        ({"tables": {"alembic_version": {"version_num": "plain"}}}, {}, "does not have: alembic_version"),
        (
            {"tables": {"revisions": {"name": "instant", "number": "plain"}}},
            {"revisions": [["x", 1]]},
            "cannot be read",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_lost(
    api: Api, changed: dict[str, Any], parts: dict[str, list[list[Any]]], words: str
) -> None:
    before = dump(api.desk)
    with pytest.raises(BadBackup, match=words):
        restoring.restore(api.desk.database, io.BytesIO(made({**HEADER, **changed}, parts)), None, silent)
    assert dump(api.desk) == before


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "tables/../x.jsonl", "tables/revisions/1.jsonl"])
def test_nothing_of_an_archive_is_believed_for_its_name(name: str) -> None:
    file = io.BytesIO()
    archive = ArchiveWriter(file, HEADER)
    archive._add(name, b"x", 0)
    archive.finish()
    with pytest.raises(BadBackup, match="no part of a backup"):
        restoring.verify(io.BytesIO(file.getvalue()))


def test_a_member_that_is_a_link_or_a_bomb_is_refused() -> None:
    for member in (tarfile.TarInfo("tables/revisions/000001.jsonl"), tarfile.TarInfo("header.json")):
        file = io.BytesIO()
        archive = ArchiveWriter(file, HEADER)
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive._tar.addfile(member)
        archive.finish()
        with pytest.raises(BadBackup):
            restoring.verify(io.BytesIO(file.getvalue()))
    file = io.BytesIO()
    archive = ArchiveWriter(file, HEADER)
    bomb = tarfile.TarInfo("tables/revisions/000001.jsonl")
    bomb.size = 10**12
    archive._tar.fileobj.write(bomb.tobuf(tarfile.GNU_FORMAT))  # type: ignore[union-attr]
    archive.finish()
    with pytest.raises(BadBackup):
        restoring.verify(io.BytesIO(file.getvalue()))
