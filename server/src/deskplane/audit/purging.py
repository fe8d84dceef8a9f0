"""Ending what is older than it has to be kept. A purge first says what it takes, in the log itself."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from deskplane.audit import reading
from deskplane.audit.service import ENTRIES, Note, append
from deskplane.kernel.db import execute
from deskplane.kernel.work import Work

AT_ONCE = 5000
"""Entries that one transaction deletes."""


def announce(work: Work, before: datetime) -> int:
    """Appends the entry of a purge of everything that is older; answers the number of the last entry that goes, 0 for
    nothing. From then on those entries can be deleted."""
    session, columns = work.session, ENTRIES.c
    first, purged = reading.first_of(session), reading.last_purge(session)
    if first is None:
        return 0
    if purged is not None and first <= purged.through:
        return purged.through  # one that was broken off is ended first
    stays = session.execute(select(func.min(columns.id)).where(columns.at >= before)).scalar()
    through: int = stays - 1 if stays is not None else session.execute(select(func.max(columns.id))).scalar_one()
    if through < first:
        return 0
    taken = {"first": first, "through": through, "hash": reading.hash_of(session, through)}
    kind, action = reading.PURGE
    append(work, [Note(kind, str(through), (), action, [{"field": "entries", "before": taken, "after": None}])])
    return through


def delete_some(session: Session, through: int) -> int:
    """Deletes some of the entries that a purge announced; answers how many, 0 once it is done."""
    first = reading.first_of(session)
    if first is None or first > through:
        return 0
    bound = min(first + AT_ONCE - 1, through)
    return execute(session, delete(ENTRIES).where(ENTRIES.c.id <= bound), {}).rowcount
