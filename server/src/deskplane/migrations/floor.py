"""Which versions may still work on the database as it is: the floor, kept in the database itself.

A migration that only adds leaves the floor where it was: versions of before go on beside the newer one, which is what
a rolling upgrade needs. One that takes something away raises it, to the first version that did without.
"""

from __future__ import annotations

from sqlalchemy import Connection, Integer, String, inspect, select, update
from sqlalchemy.orm import Mapped, mapped_column

from deskplane.kernel.columns import Base


class Floor(Base):
    """One row: versions whose newest migration is an earlier one cannot work on this database any more."""

    __tablename__ = "schema_floor"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    migration: Mapped[str] = mapped_column(String(32))


def raise_floor(connection: Connection, to: str) -> None:
    """For a migration that contracts: only versions that have the migration `to` can go on."""
    connection.execute(update(Floor).where(Floor.migration < to).values(migration=to))


def floor_of(connection: Connection) -> str:
    """The least migration that a version must know. A database from before there was a floor has none."""
    if not inspect(connection).has_table(Floor.__tablename__):
        return ""
    return connection.execute(select(Floor.migration)).scalar() or ""
