"""The table of the room."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from deskplane.kernel.columns import Base, Instant, Json, Serial


class AuditEntry(Base):
    """What was done to one object, by whom and from where, secrets masked.

    `id` counts without a gap. `key` and `changes` are JSON as text: what is hashed must be read as it was written,
    which jsonb does not promise. `hash` is made of the entry and of the hash before it (`chain.py`).
    """

    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_entries_kind_object_id", "kind", "object_id"),)

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(Instant)
    kind: Mapped[str] = mapped_column(String(40))
    object_id: Mapped[str] = mapped_column(String(36))
    key: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(String(20))
    changes: Mapped[str] = mapped_column(Text)
    user_id: Mapped[str | None] = mapped_column(String(36))
    username: Mapped[str] = mapped_column(String(120))
    key_id: Mapped[str | None] = mapped_column(String(12))
    address: Mapped[str | None] = mapped_column(String(80))
    manager: Mapped[str | None] = mapped_column(String(200))
    revision: Mapped[str | None] = mapped_column(String(200))
    request_id: Mapped[str | None] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class OlderChange(Base):
    """Where versions before 0028 wrote the configuration's history, and write it while servers are upgraded one after
    the other. What comes in is moved to the audit log (`older.py`)."""

    __tablename__ = "configuration_changes"
    __table_args__ = (Index("ix_configuration_changes_kind_object_id", "kind", "object_id"),)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    at: Mapped[datetime] = mapped_column(Instant)
    kind: Mapped[str] = mapped_column(String(40))
    object_id: Mapped[str] = mapped_column(String(36))
    key: Mapped[list[Any]] = mapped_column(Json)
    action: Mapped[str] = mapped_column(String(10))
    changes: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    user_id: Mapped[str | None] = mapped_column(String(36))
    username: Mapped[str] = mapped_column(String(120))
    manager: Mapped[str | None] = mapped_column(String(200))
    revision: Mapped[str | None] = mapped_column(String(200))
    request_id: Mapped[str | None] = mapped_column(String(64))
