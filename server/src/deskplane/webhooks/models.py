"""Tables of the room."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, ForeignKey, Index, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from deskplane.kernel.columns import Base, Json, KindRow


class Webhook(KindRow, Base):
    """An address that is told of events, of one department or of all."""

    __tablename__ = "webhooks"

    name: Mapped[str] = mapped_column(String(120))
    department_id: Mapped[str | None] = mapped_column(ForeignKey("departments.id"), index=True)
    description: Mapped[str] = mapped_column(Text)
    enabled: Mapped[bool] = mapped_column(Boolean)
    url: Mapped[str] = mapped_column(String(2000))
    method: Mapped[str] = mapped_column(String(6))
    headers: Mapped[dict[str, str]] = mapped_column(Json)
    secret_headers: Mapped[str | None] = mapped_column(Text)
    body: Mapped[Any] = mapped_column(Json, nullable=True)
    events: Mapped[list[str]] = mapped_column(Json)
    secret: Mapped[str | None] = mapped_column(Text)


Index(
    "uq_webhooks_department_name",
    func.coalesce(Webhook.department_id, ""),
    Webhook.name,
    unique=True,
)
