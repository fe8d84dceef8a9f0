"""Moving SQLite's write-ahead log into the database's file without anybody waiting for it.

SQLite does that by itself in the commit after which the log has a thousand pages, and on a large desk these lie all
over the file: 100 ms at a million tickets, in which the one who commits still has the writers' turn. Here it is done
after the turn is given back, and only the few pages that others wrote meanwhile are moved in a turn of their own: while
others write without a break, the log never ends otherwise, and grows.

https://www.sqlite.org/wal.html, "Avoiding Excessively Large WAL Files".
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import Engine

from deskplane.kernel.problem import Problem

ROWS = 300
"""Rows that were changed since the last time. Each changes some three pages, its indexes included."""
BACKSTOP_PAGES = 20_000
"""Where nobody counts rows, SQLite does it by itself at so many pages of the log, 80 MB."""


class Checkpoints:
    """Counts what is written, and moves it when there is enough of it.

    Args:
        engine: the one that writes.
        turn: the writers' queue; waits for at most so many seconds.
        seconds: how long it may wait.
    """

    def __init__(self, engine: Engine, turn: Callable[[float], AbstractContextManager[float]], seconds: float) -> None:
        self._engine, self._turn, self._seconds = engine, turn, seconds
        self._rows = 0
        self._moving = threading.Lock()

    def wrote(self, rows: int) -> None:
        """Counts rows; to be called by whoever has the turn."""
        self._rows += rows

    def move_if_due(self) -> None:
        """To be called without the turn. What cannot be moved now, for a full disk or a reader, is the next one's."""
        if self._rows < ROWS or not self._moving.acquire(blocking=False):
            return
        try:
            self._rows = 0
            self._move()
            with self._turn(self._seconds):
                self._move()
        except (sqlite3.Error, Problem):
            return
        finally:
            self._moving.release()

    def _move(self) -> None:
        # past SQLAlchemy's own transaction, in which there can be no checkpoint
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
            cursor.close()
        finally:
            connection.close()
