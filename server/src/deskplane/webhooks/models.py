"""Tables of the room."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, ForeignKey, Index, Integer, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from deskplane.kernel.columns import Base, Instant, Json, KindRow


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


class WebhookState(Base):
    """What the server knows of a webhook, and nobody declares: since when every delivery fails, null while they do not;
    and the secret before the present one, which signs along until its time is over."""

    __tablename__ = "webhook_states"

    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True)
    failing_since: Mapped[datetime | None] = mapped_column(Instant)
    previous_secret: Mapped[str | None] = mapped_column(Text)
    previous_until: Mapped[datetime | None] = mapped_column(Instant)


class Delivery(Base):
    """One event that one webhook is told of. The id is what receivers know it by, whatever is sent again.

    `values` are those of the event; `attempts` counts those of this round, since it was made or asked for anew; `log`
    has an entry for each attempt ever, the rest is of the last one.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_of", "webhook_id", "created_at", "id"),
        Index("ix_webhook_deliveries_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event: Mapped[str] = mapped_column(String(40))
    ticket_number: Mapped[str] = mapped_column(String(40))
    values: Mapped[dict[str, Any]] = mapped_column(Json)
    state: Mapped[str] = mapped_column(String(10))
    attempts: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(Instant)
    next_at: Mapped[datetime | None] = mapped_column(Instant)
    last_at: Mapped[datetime | None] = mapped_column(Instant)
    request: Mapped[dict[str, Any] | None] = mapped_column(Json)
    status: Mapped[int | None] = mapped_column(Integer)
    response: Mapped[str | None] = mapped_column(Text)
    milliseconds: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(Text)
    log: Mapped[list[dict[str, Any]]] = mapped_column(Json)
