"""Tables of the room."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table, Text
from sqlalchemy.orm import Mapped, mapped_column

from deskplane.kernel.columns import Base, Json, KindRow


class Calendar(KindRow, Base):
    """When people work."""

    __tablename__ = "calendars"

    name: Mapped[str] = mapped_column(String(120), unique=True)
    description: Mapped[str] = mapped_column(Text)
    time_zone: Mapped[str] = mapped_column(String(64))
    hours: Mapped[dict[str, Any]] = mapped_column(Json)
    holidays: Mapped[dict[str, Any]] = mapped_column(Json)


class SlaPolicy(KindRow, Base):
    """What is promised for a ticket."""

    __tablename__ = "sla_policies"

    name: Mapped[str] = mapped_column(String(120), unique=True)
    description: Mapped[str] = mapped_column(Text)
    enabled: Mapped[bool] = mapped_column(Boolean)
    position: Mapped[int] = mapped_column(Integer)
    response_minutes: Mapped[int | None] = mapped_column(Integer)
    resolution_minutes: Mapped[int | None] = mapped_column(Integer)
    priorities: Mapped[list[str]] = mapped_column(Json)
    priority_floor: Mapped[str | None] = mapped_column(String(20))
    calendar_id: Mapped[str | None] = mapped_column(ForeignKey("calendars.id"), index=True)
    pause_statuses: Mapped[list[str]] = mapped_column(Json)
    on_reopen: Mapped[str] = mapped_column(String(20))
    warn_minutes: Mapped[int] = mapped_column(Integer)
    critical_minutes: Mapped[int] = mapped_column(Integer)


sla_policy_customers = Table(
    "sla_policy_customers",
    Base.metadata,
    Column("sla_policy_id", ForeignKey("sla_policies.id", ondelete="CASCADE"), primary_key=True),
    Column("customer_id", ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True, index=True),
)
