"""SQLite's write-ahead log is moved into the file without the writers' turn, and does not grow where nobody pauses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from deskplane.kernel.checkpoints import ROWS, Checkpoints
from deskplane.kernel.db import Database

PAGE = b"x" * 4000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{path}", busy_seconds=5)
    database.run(lambda session: session.execute(text("CREATE TABLE page (of BLOB)")), write=True)
    yield database
    database.dispose()


def put(database: Database, rows: int) -> None:
    """So many pages, in one transaction."""

    def work(session: Session) -> None:
        for _ in range(rows):
            session.execute(text("INSERT INTO page VALUES (:of)"), {"of": PAGE})

    database.run(work, write=True)


def test_the_log_is_moved_while_somebody_else_has_the_writers_turn(database: Database, path: Path) -> None:
    put(database, ROWS - 1)
    assert path.stat().st_size < ROWS * 1000
    asked, given = threading.Event(), threading.Event()

    @contextmanager
    def turn(_seconds: float) -> Iterator[float]:
        asked.set()
        assert given.wait(5)
        yield 1.0

    checkpoints = Checkpoints(database.writing, turn, 5)
    checkpoints.wrote(ROWS)
    with database.transaction(write=True) as session:
        session.execute(text("INSERT INTO page VALUES (:of)"), {"of": PAGE})
        moving = threading.Thread(target=checkpoints.move_if_due)
        moving.start()
        assert asked.wait(5)
        assert path.stat().st_size > (ROWS - 1) * 4000
    given.set()
    moving.join()


def test_the_log_stays_small_while_two_write_without_a_pause(database: Database, path: Path) -> None:
    def write() -> None:
        for _ in range(150):
            put(database, 20)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert database.run(lambda session: session.execute(text("SELECT count(*) FROM page")).scalar_one(), write=False)
    assert path.with_name("desk.db-wal").stat().st_size < 4 * ROWS * 4096


def test_what_the_log_has_is_not_moved_for_each_change(database: Database, path: Path) -> None:
    before = path.stat().st_size
    for _ in range(10):
        put(database, 1)
    assert path.stat().st_size == before
