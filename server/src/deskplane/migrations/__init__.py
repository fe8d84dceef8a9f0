"""Bringing a database up to date. Migrations only ever go forward, and `head` is what this version needs.

A database may be ahead of a version that works on it, while servers are upgraded one after the other: see `floor`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from deskplane import __version__
from deskplane.kernel.db import Database
from deskplane.migrations.floor import floor_of

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


@dataclass(frozen=True)
class Step:
    """One migration: its number, and what it is about."""

    revision: str
    title: str


@cache
def steps() -> tuple[Step, ...]:
    """Every migration of this version, in their order, as their files are named."""
    names = sorted(file.stem for file in (_PLACE / "versions").glob("[0-9]*_*.py"))
    return tuple(Step(number, title.replace("_", " ")) for number, _, title in (name.partition("_") for name in names))


@cache
def known() -> tuple[str, ...]:
    """The numbers of all steps, in their order."""
    return tuple(step.revision for step in steps())


def head() -> str:
    """The newest migration."""
    return known()[-1]


def revision_of(connection: Connection) -> str | None:
    """The migration that a database is at; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return found


def pending(at: str | None) -> tuple[Step, ...]:
    """What a database at this migration still needs. Raises ValueError for one that a newer version made."""
    require_known(at)
    return steps() if at is None else steps()[known().index(at) + 1 :]


def require_known(at: str | None) -> None:
    """Raises ValueError for a database that a newer version made."""
    if at is not None and at not in known():
        raise ValueError(
            f"the database is at migration {at}, which Deskplane {__version__} does not know (its newest is {head()}): "
            "a newer version made it; run that version, or restore the backup from before its upgrade"
        )


def is_ahead(connection: Connection, at: str | None) -> bool:
    """Whether a newer version made the database what it is, and left this one all that it needs."""
    return at is not None and at not in known() and floor_of(connection) <= head()


def require_fit(connection: Connection) -> str:
    """The migration of a database that this version can work on; raises ValueError for any other. Reads only."""
    at = revision_of(connection)
    if at is None or (not is_ahead(connection, at) and pending(at)):
        raise ValueError(
            f"the database is at migration {at or 'none'}, and Deskplane {__version__} needs {head()}; "
            "run: deskplane migrate"
        )
    return at


def require_current(database: Database) -> None:
    """Raises ValueError unless this version can work on the database. Reads only."""
    with database.transaction(write=False) as session:
        require_fit(session.connection())


def upgrade(database: Database, to: str | None = None) -> tuple[str | None, str | None]:
    """Runs what is missing, in one transaction, however many processes ask for it at once; answers from and to."""
    to = to or head()
    with database.transaction(write=True) as session:
        connection = session.connection()
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        return upgrade_within(connection, to)


def upgrade_within(connection: Connection, to: str) -> tuple[str | None, str | None]:
    """Runs what is missing in the caller's transaction; answers from and to. A database that is ahead stays as it is;
    raises ValueError for a newer one that this version cannot work on."""
    before = revision_of(connection)
    if is_ahead(connection, before):
        return before, before
    require_known(before)
    if before == to:
        return before, before
    from alembic import command

    settings = config()
    settings.attributes["connection"] = connection
    command.upgrade(settings, to)
    if to == head():
        from deskplane.audit import triggers as audit_triggers
        from deskplane.tickets import triggers as tickets_triggers

        tickets_triggers.install(connection)
        audit_triggers.install(connection)
    return before, revision_of(connection)
