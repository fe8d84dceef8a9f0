"""Bringing a database up to date. Migrations only ever go forward, and `head` is what this version needs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from deskplane.kernel.db import Database

_LOCK = 4_711_000_001


def config() -> Config:
    """Alembic's configuration, without a file."""
    found = Config()
    found.set_main_option("script_location", str(Path(__file__).parent))
    found.set_main_option("path_separator", "os")
    return found


@cache
def head() -> str:
    """The newest migration."""
    found = ScriptDirectory.from_config(config()).get_current_head()
    assert found is not None
    return found


@cache
def known() -> frozenset[str]:
    """Every migration of this version."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(config()).walk_revisions())


def revision_of(connection: Connection) -> str | None:
    """The migration that a database is at."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(database: Database, to: str = "head") -> tuple[str | None, str | None]:
    """Runs what is missing, in one transaction, however many processes ask for it at once; answers from and to."""
    with database.transaction(write=True) as session:
        connection = session.connection()
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        before = revision_of(connection)
        if before is not None and before not in known():
            raise ValueError(
                f"the database is at migration {before}, which this version does not know; use the version that made it"
            )
        settings = config()
        settings.attributes["connection"] = connection
        command.upgrade(settings, to)
        after = revision_of(connection)
    return before, after
