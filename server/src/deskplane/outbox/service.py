"""Putting something into the outbox, and taking it out again.

Claiming is a compare-and-swap on the lease, and completing is fenced by its owner: killed at any point, a worker
leaves a row that the next one finds again. So everything is done at least once, under a stable id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, delete, func, insert, select, update
from sqlalchemy.orm import Session

from deskplane.kernel.db import execute
from deskplane.kernel.work import Work
from deskplane.outbox.models import Heartbeat, Message

LEASE = timedelta(seconds=60)
ALIVE = timedelta(seconds=30)
"""A worker not seen for so long counts as gone."""


@dataclass(frozen=True)
class Claimed:
    """One message in a worker's hands."""

    id: int
    topic: str
    payload: dict[str, Any]
    attempts: int
    created_at: datetime


_INSERT = insert(cast(Table, Message.__table__))


def put(work: Work, topic: str, payload: Mapping[str, Any]) -> None:
    """Stores a message in the caller's transaction: it is sent if, and only if, that commits."""
    now = work.clock.now()
    row = {"topic": topic, "payload": dict(payload), "created_at": now, "available_at": now, "attempts": 0}
    execute(work.session, _INSERT, row)


def claim(session: Session, owner: str, now: datetime, limit: int = 20) -> list[Claimed]:
    """Takes due messages, oldest first; those whose lease ran out too. Needs a writing transaction."""
    statement = (
        select(Message.id).where(Message.available_at <= now).order_by(Message.available_at, Message.id).limit(limit)
    )
    if session.get_bind().dialect.name != "sqlite":
        statement = statement.with_for_update(skip_locked=True)
    ids = list(session.execute(statement).scalars())
    if not ids:
        return []
    # a lease is a time at which the row is due again: one column says both, and one index finds both
    session.execute(
        update(Message)
        .where(Message.id.in_(ids))
        .values(lease_owner=owner, available_at=now + LEASE, attempts=Message.attempts + 1)
    )
    rows = session.execute(select(Message).where(Message.id.in_(ids)).order_by(Message.id)).scalars()
    return [Claimed(row.id, row.topic, row.payload, row.attempts, row.created_at) for row in rows]


def complete(session: Session, owner: str, message_id: int) -> bool:
    """Removes a message that was dealt with; false where the lease is someone else's by now."""
    result = session.execute(delete(Message).where(Message.id == message_id, Message.lease_owner == owner))
    return bool(result.rowcount)  # type: ignore[attr-defined]


def postpone(session: Session, owner: str, message: Claimed, error: str, now: datetime) -> None:
    """Puts a message that failed back, for later: after 5 s, 10 s, 20 s … one hour at most."""
    pause = min(timedelta(seconds=5) * 2 ** min(message.attempts - 1, 12), timedelta(hours=1))
    session.execute(
        update(Message)
        .where(Message.id == message.id, Message.lease_owner == owner)
        .values(lease_owner=None, available_at=now + pause, last_error=error[:2000])
    )


def beat(session: Session, owner: str, now: datetime) -> None:
    """Says that a worker is alive; forgets those not seen for a day."""
    changed = session.execute(update(Heartbeat).where(Heartbeat.name == owner).values(seen_at=now))
    if not changed.rowcount:  # type: ignore[attr-defined]
        session.execute(insert(Heartbeat).values(name=owner, seen_at=now))
    session.execute(delete(Heartbeat).where(Heartbeat.seen_at < now - timedelta(days=1)))


def leave(session: Session, owner: str) -> None:
    """Says that a worker ended in good order."""
    session.execute(delete(Heartbeat).where(Heartbeat.name == owner))


def backlog(session: Session) -> tuple[int, datetime | None]:
    """How many messages wait, and since when the oldest one does."""
    count, oldest = session.execute(select(func.count(Message.id), func.min(Message.created_at))).one()
    return int(count), oldest


def workers_alive(session: Session, now: datetime) -> int:
    """How many workers were seen lately."""
    statement = select(func.count()).select_from(Heartbeat).where(Heartbeat.seen_at > now - ALIVE)
    return int(session.execute(statement).scalar_one())


def is_due(session: Session, now: datetime) -> bool:
    """Whether there is anything to claim; asked without the write lock."""
    return session.execute(select(Message.id).where(Message.available_at <= now).limit(1)).first() is not None
