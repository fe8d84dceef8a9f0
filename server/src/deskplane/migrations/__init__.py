"""Bringing a database up to date. Migrations only ever go forward, and `head` is what this version needs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from deskplane.kernel.db import Database

if TYPE_CHECKING:
    from alembic.config import Config

# Alembic takes a tenth of a server's start to import: only what runs a migration does so
_LOCK = 4_711_000_001
_PLACE = Path(__file__).parent


def config() -> Config:
    """Alembic's configuration, without a file."""
    from alembic.config import Config

    found = Config()
    found.set_main_option("script_location", str(_PLACE))
    found.set_main_option("path_separator", "os")
    return found


@cache
def known() -> tuple[str, ...]:
    """Every migration of this version, in their order: the numbers that their files begin with."""
    return tuple(sorted(file.name.partition("_")[0] for file in (_PLACE / "versions").glob("[0-9]*_*.py")))


def head() -> str:
    """The newest migration."""
    return known()[-1]


def revision_of(connection: Connection) -> str | None:
    """The migration that a database is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return found


def upgrade(database: Database, to: str | None = None) -> tuple[str | None, str | None]:
    """Runs what is missing, in one transaction, however many processes ask for it at once; answers from and to."""
    to = to or head()
    with database.transaction(write=True) as session:
        connection = session.connection()
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        return upgrade_within(connection, to)


def upgrade_within(connection: Connection, to: str) -> tuple[str | None, str | None]:
    """Runs what is missing in the caller's transaction; answers from and to. Raises ValueError for a newer database."""
    before = revision_of(connection)
    if before is not None and before not in known():
        raise ValueError(
            f"the database is at migration {before}, which this version does not know; use the version that made it"
        )
    if before == to:
        return before, before
    from alembic import command

    settings = config()
    settings.attributes["connection"] = connection
    command.upgrade(settings, to)
    if to == head():
        from deskplane.tickets.triggers import install

        install(connection)
    return before, revision_of(connection)
