"""Reading the log: as it is checked, exported and shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from deskplane.audit import chain
from deskplane.audit.service import ENTRIES

_AT_ONCE = 1000
PURGE = ("audit", "purge")
"""Kind and action of the entry that says what was purged."""


@dataclass(frozen=True)
class Stored:
    """One entry: its number, what is hashed of it, and the hash that it says it has."""

    sequence: int
    content: dict[str, Any]
    hash: str


@dataclass(frozen=True)
class Purged:
    """What a purge took: entries up to `through`, whose hash was `hash`."""

    through: int
    hash: str


def stored(session: Session, behind: int = 0) -> Iterator[Stored]:
    """Every entry behind a number, in their order, in many short statements."""
    statement = select(ENTRIES).order_by(ENTRIES.c.id).limit(_AT_ONCE)
    while True:
        rows = session.execute(statement.where(ENTRIES.c.id > behind)).mappings().all()
        for row in rows:
            yield Stored(row["id"], chain.entry(dict(row)), row["hash"])
        if len(rows) < _AT_ONCE:
            return
        behind = rows[-1]["id"]


def first_of(session: Session) -> int | None:
    """The number of the oldest entry."""
    return session.execute(select(func.min(ENTRIES.c.id))).scalar()


def last_purge(session: Session) -> Purged | None:
    """What the newest purge took."""
    statement = (
        select(ENTRIES.c.object_id, ENTRIES.c.changes)
        .where(ENTRIES.c.kind == PURGE[0], ENTRIES.c.action == PURGE[1])
        .order_by(ENTRIES.c.id.desc())
        .limit(1)
    )
    found = session.execute(statement).first()
    if found is None:
        return None
    return Purged(int(found.object_id), orjson.loads(found.changes)[0]["before"]["hash"])


def hash_of(session: Session, sequence: int) -> str | None:
    """The hash that an entry has, or had before it was purged as the last one; null where that is not known."""
    if sequence == 0:
        return chain.BEGINNING
    there = select(ENTRIES.c.hash).where(ENTRIES.c.id == sequence)
    found: str | None = session.execute(there).scalar_one_or_none()
    if found is not None:
        return found
    purged = last_purge(session)
    return purged.hash if purged is not None and purged.through == sequence else None


def export(session: Session, since: datetime | None = None, until: datetime | None = None) -> Iterator[bytes]:
    """The entries of a time, a JSON line each, in their order. Each has the hash before it, so that a file can be
    verified by itself."""
    bounds: Select[Any] = select(func.min(ENTRIES.c.id), func.max(ENTRIES.c.id))
    if since is not None:
        bounds = bounds.where(ENTRIES.c.at >= since)
    if until is not None:
        bounds = bounds.where(ENTRIES.c.at < until)
    first, last = session.execute(bounds).one()
    if first is None:
        return
    previous = hash_of(session, first - 1)
    for entry in stored(session, first - 1):
        if entry.sequence > last:
            return
        line = {"sequence": entry.sequence, **entry.content, "previous": previous, "hash": entry.hash}
        yield orjson.dumps(line) + b"\n"
        previous = entry.hash
