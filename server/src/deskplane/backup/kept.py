"""What of a database a backup keeps: all tables but those that say what goes on now, with all their columns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Connection, Table, inspect

from deskplane.kernel.problem import Problem
from deskplane.migrations import head, known, require_fit, revision_of
from deskplane.migrations.tables import metadata

LEFT_OUT = frozenset(
    {
        *("workers", "schema_floor", "rate_counts"),
        *("login_sessions", "pending_logins", "login_tokens", "totp_offers", "passkey_ceremonies"),
    }
)
"""Tables that say what goes on now or what the tables are like, and nothing of the desk: nobody is logged in by what is
restored."""
_MADE_ANEW = "ticket_search"
"""How SQLite's tables for full text begin, which a restore fills from the others."""
Kept = dict[Table, list[Column[Any]]]


def kept_of(connection: Connection) -> Kept:
    """Tables and their columns, each table behind those that it refers to; of an older database those that it has.

    Raises Problem 503 where something would be missing: of an empty database, of one to which a newer version has
    added, and of one that still has what this version knows no more.
    """
    found = revision_of(connection)
    kept = {table: list(table.columns) for table in metadata.sorted_tables if table.name not in LEFT_OUT}
    if found == head():
        return kept
    if found not in known():
        raise _refused(_why_not(connection, found))
    there = _columns(connection)
    kept = {
        table: [column for column in columns if column.name in there[table.name]]
        for table, columns in kept.items()
        if table.name in there
    }
    held = {table.name: {column.name for column in columns} for table, columns in kept.items()}
    if lost := sorted(name for name, columns in there.items() if columns != held.get(name)):
        raise _refused(
            f"the database is at migration {found}, and this version knows no more all of {', '.join(lost)}; make the "
            "backup with the version that made it what it is"
        )
    return kept


def _columns(connection: Connection) -> dict[str, set[str]]:
    inspector = inspect(connection)
    return {
        name: {str(column["name"]) for column in inspector.get_columns(name)}
        for name in inspector.get_table_names()
        if name not in LEFT_OUT and name != "alembic_version" and not name.startswith(_MADE_ANEW)
    }


def _why_not(connection: Connection, found: str | None) -> str:
    """Of a database that is empty, or that a newer version has made."""
    try:
        require_fit(connection)
    except ValueError as error:
        return str(error)
    return f"the database is at migration {found}, and this version knows {head()}; make it with the newer one"


def _refused(reason: str) -> Problem:
    return Problem(503, "not_migrated", reason)
