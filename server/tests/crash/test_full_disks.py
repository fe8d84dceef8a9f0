"""A disk that is full: what is written is refused as such, what is read is answered, and it goes on by itself."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from conftest import DATABASES, Api, Postgres, TurnedClock, settings
from deskplane.app import Desk, make_desk, make_worker, migrate
from deskplane.backup import files, snapshot
from deskplane.backup import restore as restoring
from deskplane.kernel.problem import Problem

MEGABYTES = 64
FILE = os.urandom(1_500_000)
"""Larger than what is kept in memory as it comes in."""


class SmallDisk:
    """A file system of its own, which a test fills."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._filler = place / "filler"

    def fill(self) -> None:
        """Leaves not a single block."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 20, 4096):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def make_room(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    # not below pytest's own directory, which is closed to the one as whom PostgreSQL runs
    place = Path(tempfile.mkdtemp(prefix="deskplane-small-"))
    options = f"size={MEGABYTES}m,mode=755"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, text=True)
    if done.returncode:
        place.rmdir()
        pytest.fail(f"who runs the tests may not mount a file system: {done.stderr.strip()}")
    place.chmod(0o755)
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        place.rmdir()


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, disk: SmallDisk) -> Iterator[str]:
    """A database on that disk: SQLite's file, or all tables of a PostgreSQL, whose log is elsewhere."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), disk.place / "desk.db")
        yield f"sqlite:///{disk.place / 'desk.db'}"
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    tables = disk.place / "tables"
    tables.mkdir()
    owner = pwd.getpwuid(postgres.directory.stat().st_uid)
    os.chown(tables, owner.pw_uid, owner.pw_gid)
    url = make_url(postgres.url)
    admin = psycopg.connect(url.set(drivername="postgresql").render_as_string(False), autocommit=True)
    admin.execute(f"CREATE TABLESPACE small LOCATION '{tables}'")
    admin.execute('CREATE DATABASE "on a small disk" TABLESPACE small')
    try:
        found = url.set(database="on a small disk").render_as_string(hide_password=False)
        made = make_desk(settings(found))
        migrate(made)
        made.database.dispose()
        yield found
    finally:
        admin.execute('DROP DATABASE "on a small disk" WITH (FORCE)')
        admin.execute("DROP TABLESPACE small")
        admin.close()


@pytest.fixture
def api(api: Api, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> Api:
    """Temporary files are on that disk, too."""
    (disk.place / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(disk.place / "tmp"))
    return api


def opened(api: Api) -> tuple[int, Any]:
    answer = api.request("POST", "/tickets", {"title": "x" * 200, "description": "y" * 4000})
    return answer.status_code, answer.get_json()


def uploaded(api: Api, number: str) -> tuple[int, Any]:
    headers = {"Content-Type": "application/octet-stream", "Content-Disposition": 'attachment; filename="a.bin"'}
    answer = api.request("POST", f"/tickets/{number}/attachments?name=a.bin", data=FILE, headers=headers)
    return answer.status_code, answer.get_json()


def assert_full(found: tuple[int, Any]) -> None:
    status, problem = found
    assert (status, problem["type"]) == (507, "urn:deskplane:problem:disk_full"), problem


@pytest.mark.provokes(507)
def test_a_full_disk_refuses_what_is_written_and_loses_nothing(
    api: Api, desk: Desk, clock: TurnedClock, disk: SmallDisk, database_url: str
) -> None:
    numbers = [opened(api)[1]["number"] for _ in range(3)]
    assert uploaded(api, numbers[0])[0] == 201
    backups = disk.place / "backups"
    backups.mkdir()

    def write(out: Any) -> None:
        with desk.database.transaction(write=False) as session:
            snapshot.write(session, out, desk.clock, desk.vault, None)

    files.put(backups / "deskplane-20260301T000000Z.tar.gz", write)
    before = (backups / "deskplane-20260301T000000Z.tar.gz").read_bytes()

    disk.fill()
    for _ in range(400):  # there is room in pages that are there already
        found = opened(api)
        if found[0] != 201:
            break
        numbers.append(found[1]["number"])
    assert_full(found)
    assert_full(opened(api))
    assert_full(uploaded(api, numbers[0]))
    backup = api.request("GET", "/admin/backup")
    assert_full((backup.status_code, backup.get_json()))
    with pytest.raises(OSError, match="No space left"):
        files.put(backups / "deskplane-20260302T000000Z.tar.gz", write)
    assert [path.read_bytes() for path in backups.iterdir()] == [before], "half a backup is none"
    # reads go on
    page = api.call("GET", "/tickets?limit=200")["items"]
    assert {ticket["number"] for ticket in page} == set(numbers[-len(page) :])
    assert api.request("GET", "/readyz").status_code == 200
    (file,) = api.call("GET", f"/tickets/{numbers[0]}/attachments")["items"]
    content = api.request("GET", f"/tickets/{numbers[0]}/attachments/{file['id']}").data
    assert hashlib.sha256(content).digest() == hashlib.sha256(FILE).digest()
    # a worker lives through it
    worker = make_worker(desk)
    for _ in range(3):
        with suppress(Problem):
            worker.drain_once()

    disk.make_room()
    status, found_now = opened(api)
    assert status == 201
    sequences = [int(number[4:]) for number in [*numbers, found_now["number"]]]
    assert sequences == list(range(1, len(sequences) + 1)), "no number was lost and none given twice"
    assert uploaded(api, numbers[1])[0] == 201
    clock.turn(hours=1)
    while worker.drain_once():
        pass
    assert api.call("GET", "/readyz")["outbox"] == 0
    whole = api.request("GET", "/admin/backup")
    assert whole.status_code == 200
    (disk.place / "whole").write_bytes(whole.data)
    with (disk.place / "whole").open("rb") as archive:
        assert restoring.verify(archive).rows["tickets"] == len(sequences)
    if database_url.startswith("sqlite"):
        with sqlite3.connect(str(make_url(database_url).database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
