"""Putting something into the outbox, and taking it out again.

Claiming is a compare-and-swap on the lease, and completing is fenced by its owner: killed at any point, a worker
leaves a row that the next one finds again. So everything is done at least once, under a stable id.

A **lane** is a name for what must not be done by two at once, and may take long: the deliveries of one webhook, the
mail of one department. Of a lane one message at most is in flight, over all workers; lanes do not wait for each other.
Within a lane the one goes first that has been due for longest, so that what comes in goes out in its order; one that
waits for its next try is not due, and holds nobody back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, Table, delete, func, insert, or_, select, true, update
from sqlalchemy.orm import Session

from deskplane.kernel.db import execute
from deskplane.kernel.work import Work
from deskplane.outbox.models import Heartbeat, Message

LEASE = timedelta(seconds=60)
"""How long a message stays with a worker that is not heard of; one that lives renews its leases."""
ALIVE = timedelta(seconds=30)
"""A worker not seen for so long counts as gone."""
_CLAIMING = 0x6465736B636C6169


@dataclass(frozen=True)
class Claimed:
    """One message in a worker's hands."""

    id: int
    topic: str
    payload: dict[str, Any]
    attempts: int
    created_at: datetime
    lane: str | None = None


@dataclass(frozen=True)
class Backlog:
    """What waits of one topic: how many messages, how many of them failed and are tried again, and since when the
    oldest waits that should be done by now; null where all of them are to be done later."""

    topic: str
    messages: int
    failing: int
    oldest: datetime | None


@dataclass(frozen=True)
class Room:
    """How many lanes a worker can serve besides those that it does: `lanes` in all, and of those that are `slow` at
    most `slow_lanes`; none of those that it must leave to `others`."""

    lanes: int = 20
    slow: frozenset[str] = frozenset()
    slow_lanes: int = 0
    others: frozenset[str] = frozenset()


ROOM = Room()
_INSERT = insert(cast(Table, Message.__table__))


@dataclass(frozen=True)
class Put:
    """A message to be stored: see `put`."""

    topic: str
    payload: Mapping[str, Any]
    lane: str | None = None
    available_at: datetime | None = None


def put(
    work: Work,
    topic: str,
    payload: Mapping[str, Any],
    *,
    lane: str | None = None,
    available_at: datetime | None = None,
) -> None:
    """Stores a message in the caller's transaction: it is sent if, and only if, that commits; and not before
    `available_at`, if that is given."""
    put_all(work, [Put(topic, payload, lane, available_at)])


def put_all(work: Work, messages: Sequence[Put]) -> None:
    """Stores messages, in one statement."""
    now = work.clock.now()
    rows = [
        {
            "topic": message.topic,
            "payload": dict(message.payload),
            "lane": message.lane,
            "created_at": now,
            "available_at": message.available_at or now,
            "attempts": 0,
        }
        for message in messages
    ]
    if rows:
        execute(work.session, _INSERT, rows if len(rows) > 1 else rows[0])


def _without_lane(now: datetime, limit: int) -> Select[Any]:
    due = select(Message.id).where(Message.lane.is_(None), Message.available_at <= now)
    return due.order_by(Message.available_at, Message.id).limit(limit)


def _of_lanes(now: datetime, limit: int, which: Callable[[ColumnElement[Any]], ColumnElement[bool]]) -> Select[Any]:
    """The first message of each lane that has none in flight. The index is entered once for each lane, so that it costs
    the same however much waits behind a lane's first."""
    lanes = select(func.min(Message.lane).label("lane")).where(Message.lane.is_not(None)).cte("lanes", recursive=True)
    following = select(func.min(Message.lane)).where(Message.lane > lanes.c.lane).scalar_subquery()
    lanes = lanes.union_all(select(following).where(lanes.c.lane.is_not(None)))
    first = (
        select(Message.id)
        .where(Message.lane == lanes.c.lane, Message.available_at <= now)
        .order_by(Message.available_at, Message.id)
        .limit(1)
        .correlate(lanes)
        .scalar_subquery()
    )
    in_flight = (
        select(Message.id)
        .where(Message.lane == lanes.c.lane, Message.lease_owner.is_not(None), Message.available_at > now)
        .correlate(lanes)
        .exists()
    )
    heads = select(first).where(lanes.c.lane.is_not(None), ~in_flight, which(lanes.c.lane))
    return select(Message.id).where(Message.id.in_(heads)).order_by(Message.available_at, Message.id).limit(limit)


def claim(session: Session, owner: str, now: datetime, limit: int = 20, room: Room = ROOM) -> list[Claimed]:
    """Takes due messages, those whose lease ran out too: at most `limit` that have no lane, oldest first, and one each
    of as many lanes as there is room for. Needs a writing transaction."""
    locked = session.get_bind().dialect.name != "sqlite"
    if locked:  # two that look at once could each find another message to be a lane's first
        session.execute(select(func.pg_advisory_xact_lock(_CLAIMING)))

    def found(statement: Select[Any]) -> list[int]:
        statement = statement.with_for_update(skip_locked=True) if locked else statement
        return list(session.execute(statement).scalars())

    quick = found(_of_lanes(now, room.lanes, lambda lane: lane.not_in(room.slow | room.others)))
    slow = found(_of_lanes(now, min(room.slow_lanes, room.lanes - len(quick)), lambda lane: lane.in_(room.slow)))
    ids = found(_without_lane(now, limit)) + quick + slow
    if not ids:
        return []
    # a lease is a time at which the row is due again: one column says both, and one index finds both
    session.execute(
        update(Message)
        .where(Message.id.in_(ids))
        .values(lease_owner=owner, available_at=now + LEASE, attempts=Message.attempts + 1)
    )
    rows = session.execute(select(Message).where(Message.id.in_(ids)).order_by(Message.id)).scalars()
    return [Claimed(row.id, row.topic, row.payload, row.attempts, row.created_at, row.lane) for row in rows]


def renew(session: Session, owner: str, ids: Collection[int], now: datetime) -> None:
    """Prolongs the leases of messages that a worker is still at."""
    mine = update(Message).where(Message.id.in_(ids), Message.lease_owner == owner)
    session.execute(mine.values(available_at=now + LEASE))


def release(session: Session, owner: str, now: datetime) -> None:
    """Gives everything back that a worker holds: who comes next has it at once."""
    session.execute(update(Message).where(Message.lease_owner == owner).values(lease_owner=None, available_at=now))


def complete(session: Session, owner: str, message_id: int) -> bool:
    """Removes a message that was dealt with; false where the lease is someone else's by now."""
    mine = delete(Message).where(Message.id == message_id, Message.lease_owner == owner)
    return bool(execute(session, mine, {}).rowcount)


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
    changed = execute(session, update(Heartbeat).where(Heartbeat.name == owner).values(seen_at=now), {})
    if not changed.rowcount:
        session.execute(insert(Heartbeat).values(name=owner, seen_at=now))
    session.execute(delete(Heartbeat).where(Heartbeat.seen_at < now - timedelta(days=1)))


def leave(session: Session, owner: str) -> None:
    """Says that a worker ended in good order."""
    session.execute(delete(Heartbeat).where(Heartbeat.name == owner))


def backlogs(session: Session, now: datetime) -> Sequence[Backlog]:
    """What waits, by topic. A message that failed is late from its beginning; one that was put for later is not."""
    failed = Message.last_error.is_not(None)
    late: ColumnElement[bool] = or_(failed, Message.available_at <= now, Message.lease_owner.is_not(None))
    rows = session.execute(
        select(
            Message.topic,
            func.count(),
            func.count(Message.last_error),
            func.min(Message.created_at).filter(late),
        )
        .group_by(Message.topic)
        .order_by(Message.topic)
    )
    return [Backlog(*row) for row in rows]


def workers_alive(session: Session, now: datetime) -> int:
    """How many workers were seen lately."""
    statement = select(func.count()).select_from(Heartbeat).where(Heartbeat.seen_at > now - ALIVE)
    return int(session.execute(statement).scalar_one())


def is_due(session: Session, now: datetime, room: Room = ROOM) -> bool:
    """Whether there is anything to claim; asked without the write lock."""
    found = [_without_lane(now, 1)]
    if room.lanes:
        left = room.others if room.slow_lanes else room.slow | room.others
        found.append(_of_lanes(now, 1, lambda lane: lane.not_in(left) if left else true()))
    return any(session.execute(statement).first() is not None for statement in found)
