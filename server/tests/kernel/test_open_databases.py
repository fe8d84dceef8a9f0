"""What a process has open for a database goes with it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from deskplane.kernel.db import Database


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_database_that_is_done_with_leaves_no_file_open_and_can_be_used_anew(tmp_path: Path) -> None:
    def open_files() -> list[str]:
        found = Path("/proc/self/fd")
        names = [os.readlink(found / name) for name in os.listdir(found) if (found / name).is_symlink()]
        return [name for name in names if name.startswith(str(tmp_path))]

    database = Database(f"sqlite:///{tmp_path / 'desk.db'}")
    for statement in ("CREATE TABLE page (of BLOB)", "INSERT INTO page VALUES (1)"):
        database.run(lambda session, statement=statement: session.execute(text(statement)), write=True)
        assert f"{tmp_path / 'desk.db'}.lock" in open_files()
        database.dispose()
        assert open_files() == []


def test_a_database_that_is_closed_while_somebody_writes_keeps_others_out(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'desk.db'}")
    other = Database(f"sqlite:///{tmp_path / 'desk.db'}", busy_seconds=0.2)
    with database.transaction(write=True) as session:
        session.execute(text("CREATE TABLE page (of BLOB)"))
        assert database._queue is not None
        database._queue.close()
        with pytest.raises(Exception, match="busy"), other.transaction(write=True):
            pass
    with other.transaction(write=True) as session:
        session.execute(text("INSERT INTO page VALUES (1)"))
    database.dispose()
    other.dispose()
