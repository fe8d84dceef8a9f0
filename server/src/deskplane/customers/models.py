"""Tables of the room."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from deskplane.kernel.columns import Base, Json, KindRow


class Customer(KindRow, Base):
    """A company."""

    __tablename__ = "customers"

    name: Mapped[str] = mapped_column(String(120), unique=True)
    address: Mapped[str] = mapped_column(Text)
    notes: Mapped[str] = mapped_column(Text)
    number_prefix: Mapped[str | None] = mapped_column(String(10))
    sla_policy_id: Mapped[str | None] = mapped_column(ForeignKey("sla_policies.id", ondelete="SET NULL"))
    features: Mapped[dict[str, Any]] = mapped_column(Json)
    quotas: Mapped[dict[str, Any]] = mapped_column(Json)
