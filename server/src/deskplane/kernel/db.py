"""The database: engines, the queue of SQLite's writers, and the one place where transactions are opened and closed.

Two engines for one database: readers cannot write (SQLite `query_only`, PostgreSQL `READ ONLY`) and see one
snapshot; writers on SQLite take the write lock when they begin (`BEGIN IMMEDIATE`), because a transaction that
reads first and writes later loses updates or fails as locked.
"""

from __future__ import annotations

import fcntl
import math
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, CursorResult, Engine, Executable, Transaction, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from deskplane.kernel.checkpoints import BACKSTOP_PAGES, Checkpoints
from deskplane.kernel.problem import Problem, busy

T = TypeVar("T")
S = TypeVar("S", bound=Executable)

RETRIES = 4
"""How often a transaction that lost a race (deadlock, serialization failure, unique key) is run anew."""


class WriteQueue:
    """SQLite has one writer at a time: threads queue on a lock, processes on a `flock`, both with one deadline.

    Queueing here is fair and quick where SQLite's own waiting is a poll with growing sleeps. The lock file is
    opened after a fork, since a lock taken through an inherited descriptor would be shared.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = threading.Lock()
        self._file: int | None = None
        self._opened_by: int | None = None

    def close(self) -> None:
        """Gives the file back, unless somebody writes; the next one who does opens it anew."""
        if not self._threads.acquire(blocking=False):
            return
        try:
            if self._file is not None and self._opened_by == os.getpid():
                os.close(self._file)
            self._file = None
        finally:
            self._threads.release()

    def _descriptor(self) -> int:
        if self._file is None or self._opened_by != os.getpid():
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._opened_by = os.getpid()
        return self._file

    @contextmanager
    def turn(self, seconds: float) -> Iterator[float]:
        """Waits for its turn, at most `seconds`; yields the seconds that are left. Raises the 503 problem."""
        deadline = time.monotonic() + seconds
        if not self._threads.acquire(timeout=seconds):
            raise busy()
        try:
            descriptor = self._descriptor()
            pause = 0.0002
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise busy() from None
                    time.sleep(pause)
                    pause = min(pause * 1.5, 0.0005)
            try:
                yield max(deadline - time.monotonic(), 0.1)
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            self._threads.release()


def _prepare_sqlite(
    engine: Engine, *, begin: str, read_only: bool, busy_seconds: float, patience: Callable[[], float] | None = None
) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={int(busy_seconds * 1000)}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cache_size=-16000")
        connection.execute(f"PRAGMA wal_autocheckpoint={BACKSTOP_PAGES}")
        if read_only:
            connection.execute("PRAGMA query_only=ON")
            _bound_statements(connection, record, busy_seconds)

    if read_only:

        @event.listens_for(engine, "before_cursor_execute")
        def statement_begins(connection: Any, *_others: Any) -> None:
            connection.connection.info[_BEGUN][0] = time.monotonic()

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Any) -> None:
        if patience is not None:
            # whoever holds the lock from outside is waited for with what the queue left of the time, not anew
            connection.connection.dbapi_connection.execute(f"PRAGMA busy_timeout={int(patience() * 1000)}")
        connection.exec_driver_sql(begin)

    @event.listens_for(engine.pool, "reset")
    def reset(connection: sqlite3.Connection, _record: object, _state: object) -> None:
        # a COMMIT that failed (disk full) leaves the transaction open, and the pool believes it ended
        if connection.in_transaction:
            connection.rollback()


_BEGUN = "deskplane.statement_begun"
_STEPS = 100_000
"""Steps of SQLite's machine, some milliseconds, after which it is asked whether a statement may go on."""


def _bound_statements(connection: sqlite3.Connection, record: Any, seconds: float) -> None:
    """What `statement_timeout` is on PostgreSQL: a statement that takes longer is interrupted."""
    begun = record.info[_BEGUN] = [time.monotonic()]
    connection.set_progress_handler(lambda: time.monotonic() - begun[0] > seconds, _STEPS)


_PLANNER = "-c join_collapse_limit=1 -c jit=off"
"""PostgreSQL joins in the order that a statement says: to look for a better one among the eleven tables of a ticket's
row, where ten are joined by their keys, takes it twenty times as long as to run the statement. Nor is there a statement
here that is worth compiling."""
_LEFT = "deskplane.left"
_IDLE = 1.0
"""Seconds after which a connection is tried before it is used. One that broke meanwhile is replaced in `run`."""


def _ping_idle_ones(engine: Engine) -> None:
    """What `pool_pre_ping` does, without a way to the database and back before every transaction of a busy server."""

    @event.listens_for(engine, "checkin")
    def left(_connection: Any, record: Any) -> None:
        record.info[_LEFT] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def taken(connection: Any, record: Any, _proxy: object) -> None:
        if time.monotonic() - record.info.get(_LEFT, math.inf) <= _IDLE:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error


_PREPARED = "deskplane_prepared"


def prepared(statement: S) -> S:
    """Marks a statement that reads by keys, for which one plan is right whatever its parameters: PostgreSQL plans it
    once on a connection. No statement of a list is one: a filter finds few rows by one value, and by another all."""
    return statement.execution_options(**{_PREPARED: True})


def _prepare_marked(engine: Engine) -> None:
    @event.listens_for(engine, "do_execute")
    def run(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        if not context.execution_options.get(_PREPARED):
            return False
        cursor.execute(statement, parameters, prepare=True)
        return True


class Database:
    """One database, for as long as the process lives.

    Args:
        url: SQLAlchemy URL of an SQLite file or of PostgreSQL 15 or newer (`postgresql+psycopg://`).
        busy_seconds: how long a writer waits for its turn, and a statement that reads may take, before the caller
            gets 503.
        pool_size: connections of each sort that are kept open; as many threads can be served at once.
        arguments: more for each connection to PostgreSQL, such as `sslmode`.
    """

    def __init__(
        self,
        url: str,
        *,
        busy_seconds: float = 10.0,
        pool_size: int = 8,
        arguments: Mapping[str, str] | None = None,
    ) -> None:
        self.url: URL = make_url(url)
        self.busy_seconds = busy_seconds
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._queue: WriteQueue | None = None
        self._turn = threading.local()
        pool: dict[str, Any] = {
            "poolclass": QueuePool,
            "pool_size": pool_size,
            "max_overflow": pool_size,
            "pool_timeout": busy_seconds,
            # an error's text goes into the log, and what was sent does not belong there
            "hide_parameters": True,
        }
        if self.is_sqlite:
            if not self.url.database or self.url.database == ":memory:":
                raise ValueError("database_url: SQLite needs a file, for example sqlite:////var/lib/deskplane/desk.db")
            path = Path(self.url.database)
            self._queue = WriteQueue(path.with_name(path.name + ".lock"))
            given: dict[str, Any] = {"check_same_thread": False, "timeout": busy_seconds}
            self.writing = create_engine(self.url, connect_args=given, **pool)
            self.reading = create_engine(self.url, connect_args=given, **pool)
            _prepare_sqlite(
                self.writing,
                begin="BEGIN IMMEDIATE",
                read_only=False,
                busy_seconds=busy_seconds,
                patience=lambda: getattr(self._turn, "seconds", busy_seconds),
            )
            _prepare_sqlite(self.reading, begin="BEGIN", read_only=True, busy_seconds=busy_seconds)
            self._checkpoints = Checkpoints(self.writing, self._queue.turn, busy_seconds)
        else:
            bound = int(busy_seconds * 1000)
            options = f"-c timezone=UTC {_PLANNER} -c lock_timeout={bound}ms -c statement_timeout="
            named = {"application_name": "deskplane", **(arguments or {})}
            given = {"options": f"{options}{6 * bound}ms", **named}
            self.writing = create_engine(self.url, connect_args=given, **pool)
            given = {"options": f"{options}{bound}ms", "prepare_threshold": sys.maxsize, **named}
            self.reading = create_engine(self.url, connect_args=given, isolation_level="REPEATABLE READ", **pool)
            for engine in (self.writing, self.reading):
                _ping_idle_ones(engine)
            _prepare_marked(self.reading)

            @event.listens_for(self.reading, "connect")
            def read_only(connection: Any, _record: object) -> None:
                connection.read_only = True

    @contextmanager
    def transaction(self, *, write: bool, keep: bool = True) -> Iterator[Session]:
        """A session in a transaction, committed at the end; rolled back on an exception or where `keep` is false."""
        if not write:
            with self._read() as session:
                yield session
            return
        if self._queue is None:
            with self._written(keep) as session:
                yield session
            return
        with self._queue.turn(self.busy_seconds) as left:
            self._turn.seconds = left
            with self._written(keep) as session:
                connection = cast(sqlite3.Connection, cast(Connection, session.bind).connection.dbapi_connection)
                before = connection.total_changes
                yield session
                session.flush()
                self._checkpoints.wrote(connection.total_changes - before)
        self._checkpoints.move_if_due()

    @contextmanager
    def _read(self) -> Iterator[Session]:
        # a session that is given a connection costs nothing until the ORM is needed, and hot paths do not need it
        with (
            self.reading.connect() as connection,
            Session(connection, autoflush=False, expire_on_commit=False) as session,
        ):
            try:
                yield session
            except DBAPIError:
                raise
            except Exception:
                connection.commit()
                raise
            # psycopg forgets at a rollback which statements it prepared
            connection.commit()

    @contextmanager
    def _written(self, keep: bool) -> Iterator[Session]:
        # the transaction is the connection's, as when reading: the session joins it, and only says what to flush
        with (
            self.writing.connect() as connection,
            connection.begin() as transaction,
            Session(
                connection, autoflush=False, expire_on_commit=False, join_transaction_mode="rollback_only"
            ) as session,
        ):
            yield session
            session.flush()
            if keep:
                _commit(transaction)
            else:
                transaction.rollback()

    def run(self, work: Callable[[Session], T], *, write: bool, keep: bool = True) -> T:
        """Runs `work` in a transaction, and anew where it lost a race with another.

        `work` must not have an effect outside the database. Raises Problem 503 where the database stays busy, 507
        where the disk is full.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                with self.transaction(write=write, keep=keep) as session:
                    return work(session)
            except PoolTimeout:
                raise busy("all database connections are in use; try again") from None
            except DBAPIError as error:
                if attempt < RETRIES and lost_a_race(error):
                    time.sleep(0.005 * attempt * attempt)
                    continue
                raise translated(error) from error

    def dispose(self) -> None:
        """Closes the connections, and the file of the queue."""
        self.writing.dispose()
        self.reading.dispose()
        if self._queue is not None:
            self._queue.close()

    def after_fork(self) -> None:
        """A child process must not use its parent's connections."""
        self.writing.dispose(close=False)
        self.reading.dispose(close=False)


def _commit(transaction: Transaction) -> None:
    try:
        transaction.commit()
    except DBAPIError as error:
        if error.connection_invalidated:
            # it may have been stored: run anew, the work could be done twice
            raise Problem(
                503,
                "outcome_unknown",
                "the connection to the database broke as this was stored; look whether it was before you repeat it",
            ) from error
        raise


def execute(
    session: Session, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]]
) -> CursorResult[Any]:
    """Runs a statement that is made of tables, past the ORM: for the few that every request runs."""
    bind = session.bind
    connection = bind if isinstance(bind, Connection) else session.connection()
    return connection.execute(statement, parameters)


def lost_a_race(error: DBAPIError) -> bool:
    """Whether running the transaction anew can succeed."""
    if collided(error):
        return True  # two callers made the same thing: the second now finds what the first made
    if error.connection_invalidated:
        return True
    # 0A000: a migration changed what a kept plan reads; after the rollback nothing is kept
    return getattr(error.orig, "sqlstate", None) in {"40001", "40P01", "0A000"}


def collided(error: DBAPIError) -> bool:
    """Whether a unique or foreign key was in the way: the trace of another transaction, not a mistake of ours."""
    if not isinstance(error, IntegrityError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    return state in {"23505", "23503"} or str(error.orig).startswith(("UNIQUE", "FOREIGN KEY"))


_PASSING = ("locked", "busy", "disk I/O", "unable to open")
"""SQLite's words for what may be over in a moment; a file cannot be opened where too many are open."""


def translated(error: DBAPIError) -> Exception:
    """A database's error as the answer that it means, or the error itself."""
    text = str(error.orig)
    state = getattr(error.orig, "sqlstate", None)
    if collided(error):
        return Problem(
            409, "conflict", "another request changed the same thing at the same time; read it and try again"
        )
    if "disk is full" in text or state == "53100":
        return Problem(507, "disk_full", "the database's disk is full; nothing was stored")
    if isinstance(error, OperationalError) and any(word in text for word in _PASSING):
        return busy()
    if state == "57014" or text == "interrupted":
        return busy("this takes the database too long; ask for less of it at once: fewer tickets, or rarer words")
    if state in {"55P03", "40001", "40P01", "53300", "57P03"} or error.connection_invalidated:
        return busy()
    if isinstance(error, OperationalError) and "connect" in text:
        return busy("the database cannot be reached; try again", 5)
    return error
