"""From the database to an archive: all tables as they are at one moment, while others go on writing."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import IO, Any

import orjson
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
    Row,
    Table,
    bindparam,
    func,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from deskplane import __version__
from deskplane.backup.archive import ArchiveWriter
from deskplane.backup.kept import kept_of
from deskplane.kernel.clock import Clock, rfc3339
from deskplane.kernel.columns import Instant, Json, Span
from deskplane.kernel.crypto import Vault
from deskplane.migrations import revision_of

SEALED_WITH = b"backup: the secret key that the secrets in it are sealed with"
_ROWS, _ROWS_OF_BYTES = 500, 8
_PART = 4 * 1024 * 1024
INSTANT, SPAN, JSON, BYTES, FLAG, PLAIN = "instant", "span", "json", "bytes", "flag", "plain"
_FORMS: tuple[tuple[type, str], ...] = (
    (Instant, INSTANT),
    (Span, SPAN),
    (Json, JSON),
    (LargeBinary, BYTES),
    (Boolean, FLAG),
)
Progress = Callable[[str, int], object]
"""Told again and again of the table in hand, and how many of its rows are done."""


def form_of(column: Column[Any]) -> str:
    """How a column's values are written."""
    return next((form for kind, form in _FORMS if isinstance(column.type, kind)), PLAIN)


def write(
    session: Session,
    file: IO[bytes],
    clock: Clock,
    vault: Vault,
    passphrase: str | None,
    tell: Progress = lambda _table, _rows: None,
) -> dict[str, int]:
    """Writes all that the session's transaction sees, which must be one snapshot; answers the rows of each table.

    Raises Problem 503 where something of it would be missing.
    """
    connection = session.connection()
    kept = kept_of(connection)
    header = {
        "version": __version__,
        "created_at": rfc3339(clock.now()),
        "migration": revision_of(connection),
        "database": connection.dialect.name,
        "sealed_with": vault.signature(SEALED_WITH),
        "tables": {
            str(table.name): {str(column.name): form_of(column) for column in columns}
            for table, columns in kept.items()
        },
    }
    archive = ArchiveWriter(file, header, passphrase)
    counted = {}
    for table, columns in kept.items():
        name = str(table.name)
        counted[name] = 0
        for lines, rows in _parts(connection, table, columns):
            archive.part(name, lines, rows)
            counted[name] += rows
            tell(name, counted[name])
    archive.finish()
    return counted


def _parts(connection: Connection, table: Table, columns: list[Column[Any]]) -> Iterator[tuple[bytes, int]]:
    lines, count = bytearray(), 0
    for row in _rows(connection, table, columns):
        lines += orjson.dumps([_written(value) for value in row]) + b"\n"
        count += 1
        if len(lines) >= _PART:
            yield bytes(lines), count
            lines, count = bytearray(), 0
    if count:
        yield bytes(lines), count


def _read(column: Column[Any], connection: Connection) -> ColumnElement[Any]:
    """A column as it is read; tokens as SQLite has them, one behind the other."""
    if connection.dialect.name == "postgresql" and isinstance(
        column.type.dialect_impl(connection.dialect), postgresql.TSVECTOR
    ):
        return func.array_to_string(func.tsvector_to_array(column), " ").label(column.name)
    return column


def _rows(connection: Connection, table: Table, columns: list[Column[Any]]) -> Iterator[Row[Any]]:
    """All rows, in many short statements, none of which runs into the bound that statements have."""
    at_once = _ROWS_OF_BYTES if any(form_of(column) == BYTES for column in columns) else _ROWS
    key = list(table.primary_key.columns)
    statement = select(*(_read(column, connection) for column in columns)).order_by(*key).limit(at_once)
    after = statement.where(tuple_(*key) > tuple_(*(bindparam(f"after_{one.name}", type_=one.type) for one in key)))
    found = connection.execute(statement).all()
    while found:
        yield from found
        last: Mapping[Any, Any] = found[-1]._mapping
        found = connection.execute(after, {f"after_{one.name}": last[one] for one in key}).all()


def _written(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value
