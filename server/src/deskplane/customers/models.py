"""Tables of the room."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, ForeignKey, Index, String, Table, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from deskplane.kernel.columns import Base, Instant, Json, KindRow


class Customer(KindRow, Base):
    """A company."""

    __tablename__ = "customers"

    name: Mapped[str] = mapped_column(String(120), unique=True)
    address: Mapped[str] = mapped_column(Text)
    notes: Mapped[str] = mapped_column(Text)
    number_prefix: Mapped[str | None] = mapped_column(String(10))
    sla_policy_id: Mapped[str | None] = mapped_column(ForeignKey("sla_policies.id", ondelete="SET NULL"), index=True)
    features: Mapped[dict[str, Any]] = mapped_column(Json)
    quotas: Mapped[dict[str, Any]] = mapped_column(Json)


class Contact(KindRow, Base):
    """A person who writes in."""

    __tablename__ = "contacts"

    email: Mapped[str] = mapped_column(String(254), unique=True)
    first_name: Mapped[str] = mapped_column(String(120))
    last_name: Mapped[str] = mapped_column(String(120))
    phone: Mapped[str | None] = mapped_column(String(60))
    position: Mapped[str] = mapped_column(String(120))
    customer_id: Mapped[str | None] = mapped_column(ForeignKey("customers.id"), index=True)
    department_id: Mapped[str | None] = mapped_column(ForeignKey("departments.id", ondelete="SET NULL"), index=True)
    notes: Mapped[str] = mapped_column(Text)


class Asset(KindRow, Base):
    """A thing that belongs to a customer and that tickets can be about."""

    __tablename__ = "assets"
    __table_args__ = (Index("uq_assets_customer_name", "customer_id", "name", unique=True),)

    name: Mapped[str] = mapped_column(String(120))
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"))
    kind: Mapped[str] = mapped_column(String(120))
    serial: Mapped[str] = mapped_column(String(200))
    location: Mapped[str] = mapped_column(String(200))
    attributes: Mapped[dict[str, str]] = mapped_column(Json)


asset_contacts = Table(
    "asset_contacts",
    Base.metadata,
    Column("asset_id", ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True),
    Column("contact_id", ForeignKey("contacts.id", ondelete="CASCADE"), primary_key=True, index=True),
)

asset_movements = Table(
    "asset_movements",
    Base.metadata,
    Column("asset_id", ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True),
    Column("at", Instant, primary_key=True),
    Column("from", String(200)),
    Column("to", String(200), nullable=False),
    Column("by", String(200)),
    Column("note", Text, nullable=False),
)


class Contract(KindRow, Base):
    """What a customer's hours cost. Amounts are exact decimal text."""

    __tablename__ = "contracts"
    __table_args__ = (Index("uq_contracts_customer_name", "customer_id", "name", unique=True),)

    name: Mapped[str] = mapped_column(String(120))
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"))
    hourly_rate: Mapped[str] = mapped_column(String(20))
    currency: Mapped[str] = mapped_column(String(3))
    slots: Mapped[list[dict[str, Any]]] = mapped_column(Json)


class Project(KindRow, Base):
    """What time is booked on, of one customer or of all."""

    __tablename__ = "projects"

    name: Mapped[str] = mapped_column(String(120))
    customer_id: Mapped[str | None] = mapped_column(ForeignKey("customers.id"), index=True)
    description: Mapped[str] = mapped_column(Text)
    enabled: Mapped[bool] = mapped_column(Boolean)


Index("uq_projects_customer_name", func.coalesce(Project.customer_id, ""), Project.name, unique=True)
