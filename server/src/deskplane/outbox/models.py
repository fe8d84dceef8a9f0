"""Tables of the room."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from deskplane.kernel.columns import Base, Instant, Json, Serial

_LEASED = "lease_owner IS NOT NULL"


class Message(Base):
    """One thing to be done, written in the transaction that it follows from.

    `topic` names the handler. A worker claims a row by a lease, and completes it only while the lease is its own;
    a row whose lease ran out is claimed by the next one. Of the rows of one `lane` one at most is in a worker's hands.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_due", "lane", "available_at", "id"),
        Index("ix_outbox_leased", "lane", sqlite_where=text(_LEASED), postgresql_where=text(_LEASED)),
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    topic: Mapped[str] = mapped_column(String(60))
    lane: Mapped[str | None] = mapped_column(String(80))
    payload: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(Instant)
    available_at: Mapped[datetime] = mapped_column(Instant)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(80))
    last_error: Mapped[str | None] = mapped_column(Text)


class Schedule(Base):
    """A periodic job: when it runs next, and who is running it. Each runs once, however many workers there are."""

    __tablename__ = "schedules"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    next_run_at: Mapped[datetime] = mapped_column(Instant)
    lease_owner: Mapped[str | None] = mapped_column(String(80))
    leased_until: Mapped[datetime | None] = mapped_column(Instant)
    last_run_at: Mapped[datetime | None] = mapped_column(Instant)
    last_error: Mapped[str | None] = mapped_column(Text)


class Heartbeat(Base):
    """When a worker was last seen."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(Instant)
