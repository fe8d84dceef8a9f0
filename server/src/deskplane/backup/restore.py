"""From an archive to the database: all of it in one transaction, or nothing.

The archive is read twice: first to its end, which shows that it is whole, and only then into the database. It is loaded
at the migration that it was made at, whatever the tables look like now, and migrated from there.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO, Any

from sqlalchemy import (
    Boolean,
    Connection,
    LargeBinary,
    MetaData,
    Select,
    Table,
    column,
    delete,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy import table as light_table
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import Session
from sqlalchemy.schema import DropTable

from deskplane import migrations
from deskplane.audit.models import AuditEntry
from deskplane.audit.service import Head
from deskplane.audit.service import head as audit_head
from deskplane.backup.archive import ArchiveReader, BadBackup, Part, reading
from deskplane.backup.snapshot import BYTES, FLAG, INSTANT, JSON, SEALED_WITH, SPAN, Progress
from deskplane.kernel.columns import Instant, Json, Span
from deskplane.kernel.crypto import Vault
from deskplane.kernel.db import Database
from deskplane.kernel.revision import CONFIGURATION, Revision

_TYPES: dict[str, Any] = {
    INSTANT: Instant,
    SPAN: Span,
    JSON: Json,
    BYTES: LargeBinary,
    FLAG: Boolean,
}
_READ: dict[str, Callable[[Any], Any]] = {
    INSTANT: datetime.fromisoformat,
    SPAN: lambda value: timedelta(microseconds=value),
    BYTES: base64.b64decode,
}
Note = Callable[[Session, Head | None], object]
_DERIVED = "ticket_counts"
"""Kept by triggers as tickets are loaded, and then overwritten with what the archive says."""


@dataclass(frozen=True)
class Summary:
    """What an archive holds."""

    version: str
    created_at: str
    migration: str
    database: str
    rows: dict[str, int]
    same_key: bool | None
    """Whether its secrets can be opened with the secret key that was given; null where none was."""


def verify(file: IO[bytes], passphrase: str | None = None, vault: Vault | None = None) -> Summary:
    """Reads all of an archive and compares it with what it says of itself. Raises BadBackup."""
    with reading(file, passphrase) as archive:
        header = _checked(archive)
        for part in archive.parts():
            _rows_of(part, header["tables"][part.table])
        same = None if vault is None else vault.is_signed(SEALED_WITH, header["sealed_with"])
        return Summary(
            header["version"], header["created_at"], header["migration"], header["database"], dict(archive.rows), same
        )


def _checked(archive: ArchiveReader) -> dict[str, Any]:
    header = archive.header
    for name, kind in (("version", str), ("created_at", str), ("migration", str), ("database", str), ("tables", dict)):
        if not isinstance(header.get(name), kind):
            raise BadBackup(f"its header says nothing of {name}")
    if header["migration"] not in migrations.known():
        raise BadBackup(
            f"it was made by a newer version ({header['version']}, migration {header['migration']}; this one knows "
            f"{migrations.head()}); restore it with that version"
        )
    return header


def _rows_of(part: Part, columns: dict[str, str]) -> list[dict[str, Any]]:
    reads = [(name, _READ.get(form)) for name, form in columns.items()]
    found = []
    try:
        for values in part.rows():
            row = {}
            for (name, read), value in zip(reads, values, strict=True):
                row[name] = read(value) if read is not None and value is not None else value
            found.append(row)
    except (ValueError, TypeError) as error:
        if isinstance(error, BadBackup):
            raise
        raise BadBackup(f"the rows of {part.table} cannot be read") from None
    return found


def is_empty(database: Database) -> bool:
    """Whether nothing would be lost by restoring into it."""
    with database.transaction(write=False) as session:
        return not inspect(session.connection()).get_table_names()


def _noted_by_nobody(_session: Session, _head: Head | None) -> None:
    return None


def restore(
    database: Database, file: IO[bytes], passphrase: str | None, tell: Progress, note: Note = _noted_by_nobody
) -> dict[str, int]:
    """Puts what a verified archive holds in place of all that the database holds; answers the rows of each table.

    One transaction: whatever goes wrong, the database is as it was. `note` ends it: it is given the head that the audit
    log had before. Raises BadBackup.
    """
    with reading(file, passphrase) as archive, _alone(database) as connection:
        header = _checked(archive)
        before, head = _last_revision(connection), _last_head(connection)
        _clear(connection)
        migrations.upgrade_within(connection, header["migration"])
        there = set(inspect(connection).get_table_names())
        for name in reversed(header["tables"]):
            if name not in there or name == "alembic_version":
                raise BadBackup(f"it names a table that the migration {header['migration']} does not have: {name}")
            connection.execute(delete(light_table(name)))  # what a migration ships
        derived: list[Part] = []
        for part in archive.parts():
            if part.table == _DERIVED:
                derived.append(part)
            else:
                _load(connection, part, header["tables"][part.table])
            tell(part.table, archive.rows[part.table])
        if derived:
            connection.execute(delete(light_table(_DERIVED)))
        for part in derived:
            _load(connection, part, header["tables"][part.table])
        _catch_up(connection, header["tables"])
        migrations.upgrade_within(connection, migrations.head())
        # servers that run keep what they derived from configuration until the number is another one; the other numbers
        # stay, since tickets say with which of them their deadlines were worked out
        raised = update(Revision).where(Revision.name == CONFIGURATION)
        connection.execute(raised.values(number=Revision.number + before + 1))
        with Session(connection, join_transaction_mode="rollback_only") as session:
            note(session, head)
        return dict(archive.rows)


def _load(connection: Connection, part: Part, columns: dict[str, str]) -> None:
    rows = _rows_of(part, columns)
    target = light_table(part.table, *(column(name, _TYPES.get(form)) for name, form in columns.items()))
    try:
        connection.execute(insert(target), rows)
    except (IntegrityError, StatementError) as error:
        raise BadBackup(f"the rows of {part.table} do not fit: {str(error).splitlines()[0][:200]}") from None


@contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    """A transaction that writes for as long as it takes."""
    with database.transaction(write=True) as session:
        connection = session.connection()
        if not database.is_sqlite:
            # a load may take longer than any statement or lock of daily work
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
        yield connection


def _last_revision(connection: Connection) -> int:
    if not inspect(connection).has_table(Revision.__tablename__):
        return 0
    return connection.execute(select(func.max(Revision.number))).scalar() or 0


def _last_head(connection: Connection) -> Head | None:
    with Session(connection, join_transaction_mode="rollback_only") as session:
        return audit_head(session) if inspect(connection).has_table(AuditEntry.__tablename__) else None


def _clear(connection: Connection) -> None:
    """Drops every table that is there."""
    if connection.dialect.name == "sqlite":
        virtual = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE%'"
        for name in connection.exec_driver_sql(virtual).scalars().all():
            connection.execute(DropTable(Table(name, MetaData())))
    for name, _keys in reversed(inspect(connection).get_sorted_table_and_fkc_names()):
        if name is not None:
            connection.execute(DropTable(Table(name, MetaData())))


def _catch_up(connection: Connection, tables: dict[str, Any]) -> None:
    """What the database keeps of rows besides the rows: the full-text index, and where numbers go on."""
    if connection.dialect.name == "sqlite":
        if inspect(connection).has_table("ticket_search"):
            connection.exec_driver_sql("INSERT INTO ticket_search (ticket_search) VALUES ('rebuild')")
        return
    for name, columns in tables.items():
        if "id" in columns:
            highest: Select[Any] = select(func.coalesce(func.max(column("id")), 0) + 1).select_from(light_table(name))
            sequence = connection.execute(select(func.pg_get_serial_sequence(name, "id"))).scalar()
            if sequence is not None:
                connection.execute(select(func.setval(sequence, highest.scalar_subquery(), False)))
