"""Tables of the room."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, ForeignKey, Index, String, Table, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from deskplane.kernel.columns import Base, Json, KindRow


class StoredWorkflow(KindRow, Base):
    """Which status may follow which; `desks/workflows.py` has what is done with it."""

    __tablename__ = "workflows"

    name: Mapped[str] = mapped_column(String(120), unique=True)
    description: Mapped[str] = mapped_column(Text)
    transitions: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    final: Mapped[list[str]] = mapped_column(Json)
    shipped: Mapped[bool] = mapped_column(Boolean, default=False)


class Department(KindRow, Base):
    """A support team, with its mailbox and habits."""

    __tablename__ = "departments"

    name: Mapped[str] = mapped_column(String(120), unique=True)
    description: Mapped[str] = mapped_column(Text)
    enabled: Mapped[bool] = mapped_column(Boolean)
    customer_id: Mapped[str | None] = mapped_column(ForeignKey("customers.id"), index=True)
    workflow_id: Mapped[str | None] = mapped_column(ForeignKey("workflows.id"), index=True)
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


class Template(KindRow, Base):
    """A text that people begin an answer or a ticket with."""

    __tablename__ = "templates"

    name: Mapped[str] = mapped_column(String(120), unique=True)
    type: Mapped[str] = mapped_column(String(20))
    subject: Mapped[str] = mapped_column(String(500))
    body_html: Mapped[str] = mapped_column(Text)
    body_text: Mapped[str] = mapped_column(Text)
    author_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)


class EmailTemplate(KindRow, Base):
    """What a notification says, of one customer or of all."""

    __tablename__ = "email_templates"

    customer_id: Mapped[str | None] = mapped_column(ForeignKey("customers.id"), index=True)
    event: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(500))
    body_html: Mapped[str] = mapped_column(Text)
    body_text: Mapped[str] = mapped_column(Text)


Index(
    "uq_email_templates_customer_event",
    func.coalesce(EmailTemplate.customer_id, ""),
    EmailTemplate.event,
    unique=True,
)


class Setting(KindRow, Base):
    """One global setting: its value, or, sealed, the secret that it holds instead."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(String(80), unique=True)
    value: Mapped[Any] = mapped_column(Json, nullable=True)
    secret: Mapped[str | None] = mapped_column(Text)
