"""How often something may happen, counted in the database: one count for all servers that share it, as lasting and as
exact as everything else there. So no server counts for itself, and nothing else has to run for it.

    found = limits.hit(session, "login 198.51.100.7", Rate(10, 60), now)
    if found.left < 0:
        ...                        # one too many; again in `found.seconds`

What is counted stays counted only if the transaction does: count in one of its own what counts though it fails. Where
the database cannot be asked nothing is let through, since nothing could be done without it either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, cast

from sqlalchemy import BigInteger, Integer, String, Table, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from deskplane.kernel.columns import Base
from deskplane.kernel.db import execute

LONGEST = 120
"""Characters of a key."""


class RateCount(Base):
    """How often something happened in its present window, which ends at a second since 1970."""

    __tablename__ = "rate_counts"

    key: Mapped[str] = mapped_column(String(LONGEST), primary_key=True)
    until: Mapped[int] = mapped_column(BigInteger, index=True)
    hits: Mapped[int] = mapped_column(Integer)


class Rate(NamedTuple):
    """So many times in so many seconds; windows begin at whole multiples of them."""

    limit: int
    seconds: int


class Allowance(NamedTuple):
    """What is left of a window. `left` is negative where this time was one too many; `seconds` until the next."""

    limit: int
    left: int
    seconds: int


def hit(session: Session, key: str, rate: Rate, now: datetime) -> Allowance:
    """Counts one time, and says what is left. Two at once, on whichever servers, are two."""
    return hit_all(session, [key], rate, now)


def hit_all(session: Session, keys: Sequence[str], rate: Rate, now: datetime) -> Allowance:
    """The same of several keys, each once, in one statement; says what is left of the one that has the least."""
    second, until = _window(rate, now)
    hits = max(add(session, dict.fromkeys(keys, 1), rate, now).values())
    return Allowance(rate.limit, rate.limit - hits, until - second)


def add(session: Session, counts: Mapping[str, int], rate: Rate, now: datetime) -> dict[str, int]:
    """Counts so many times of each key, in one statement; answers how many there are now of each."""
    until = _window(rate, now)[1]
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    table = cast(Table, RateCount.__table__)
    # in one order, so that two at once do not lock each other out
    adding = dialect.insert(table).values([{"key": key, "until": until, "hits": counts[key]} for key in sorted(counts)])
    same = table.c.until == adding.excluded.until
    hits = case((same, table.c.hits + adding.excluded.hits), else_=adding.excluded.hits)
    counting = adding.on_conflict_do_update(
        index_elements=["key"], set_={"until": adding.excluded.until, "hits": hits}
    ).returning(table.c.key, table.c.hits)
    return {row.key: int(row.hits) for row in execute(session, counting, {})}


def look(session: Session, key: str, rate: Rate, now: datetime) -> Allowance:
    """What is left, without counting."""
    second, until = _window(rate, now)
    here = cast(Table, RateCount.__table__).c
    hits = session.execute(select(here.hits).where(here.key == key, here.until == until)).scalar_one_or_none() or 0
    return Allowance(rate.limit, rate.limit - hits, until - second)


def take_back(session: Session, keys: Sequence[str], rate: Rate, counted_at: datetime) -> None:
    """Counts one time less of each key, in the window in which it was counted."""
    here = cast(Table, RateCount.__table__).c
    one = update(RateCount).where(here.key.in_(sorted(keys)), here.until == _window(rate, counted_at)[1], here.hits > 0)
    session.execute(one.values(hits=here.hits - 1))


def forget(session: Session, keys: Sequence[str]) -> None:
    """Begins anew with what was counted."""
    session.execute(delete(RateCount).where(RateCount.key.in_(keys)))


def forget_old(session: Session, now: datetime) -> None:
    """Deletes the counts of windows that are over."""
    session.execute(delete(RateCount).where(RateCount.until <= int(now.timestamp())))


def _window(rate: Rate, now: datetime) -> tuple[int, int]:
    """The present second, and the one at which the window ends."""
    second = int(now.timestamp())
    return second, second - second % rate.seconds + rate.seconds
