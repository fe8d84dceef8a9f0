"""Tables of the room."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, ForeignKey, String, Table, Text
from sqlalchemy.orm import Mapped, mapped_column

from deskplane.kernel.columns import Base, Json, KindRow


class Department(KindRow, Base):
    """A support team, with its mailbox and habits."""

    __tablename__ = "departments"

    name: Mapped[str] = mapped_column(String(120), unique=True)
    description: Mapped[str] = mapped_column(Text)
    enabled: Mapped[bool] = mapped_column(Boolean)
    customer_id: Mapped[str | None] = mapped_column(ForeignKey("customers.id"), index=True)
    workflow: Mapped[str | None] = mapped_column(String(120))
    auto_assign_on_open: Mapped[bool] = mapped_column(Boolean)
    imap: Mapped[dict[str, Any]] = mapped_column(Json)
    smtp: Mapped[dict[str, Any]] = mapped_column(Json)
    auto_reply: Mapped[dict[str, Any]] = mapped_column(Json)
    follow_up: Mapped[dict[str, Any]] = mapped_column(Json)
    time_tracking: Mapped[dict[str, Any]] = mapped_column(Json)
    cleanup: Mapped[dict[str, Any]] = mapped_column(Json)
    notifications: Mapped[dict[str, Any]] = mapped_column(Json)


department_members = Table(
    "department_members",
    Base.metadata,
    Column("department_id", ForeignKey("departments.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True),
)


class Label(KindRow, Base):
    """A coloured tag."""

    __tablename__ = "labels"

    name: Mapped[str] = mapped_column(String(120), unique=True)
    color: Mapped[str] = mapped_column(String(7))


class TicketType(KindRow, Base):
    """What sort of thing a ticket is."""

    __tablename__ = "ticket_types"

    name: Mapped[str] = mapped_column(String(120), unique=True)
    description: Mapped[str] = mapped_column(Text)


class Setting(KindRow, Base):
    """One global setting."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(String(80), unique=True)
    value: Mapped[Any] = mapped_column(Json, nullable=True)
