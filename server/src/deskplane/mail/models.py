"""Tables of mails that are sent."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, ForeignKey, Index, Integer, String, Text, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from deskplane.kernel.columns import Base, Instant, Json

STATES = ("queued", "held", "sent", "failed")
PURPOSES = ("reply", "notification", "auto-reply", "follow-up", "alert", "test", "account")


class Mail(Base):
    """One mail to one address, with everything that it says. The outbox message `mail.send` hands it over.

    `message_id` stays the same however often it is handed over. `about` is the department by whose server it goes, null
    for the desk's own. `held`: the customer has had its mails of the month. `automatic`: nobody wrote it himself.
    `hidden`, sealed: what goes into the text as it is sent (`composing.HIDDEN`), null from then on.
    """

    __tablename__ = "mails"
    __table_args__ = (
        UniqueConstraint("message_id"),
        Index("ix_mails_ticket", "ticket_id", "id"),
        Index("ix_mails_state", "state", "id"),
        Index(
            "ix_mails_held",
            "customer_id",
            "id",
            sqlite_where=text("state = 'held'"),
            postgresql_where=text("state = 'held'"),
        ),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    message_id: Mapped[str] = mapped_column(String(320))
    purpose: Mapped[str] = mapped_column(String(20))
    event: Mapped[str | None] = mapped_column(String(40))
    automatic: Mapped[bool] = mapped_column(Boolean)
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("tickets.id", ondelete="CASCADE"))
    ticket_message_id: Mapped[int | None] = mapped_column(
        ForeignKey("ticket_messages.id", ondelete="SET NULL"), index=True
    )
    customer_id: Mapped[str | None] = mapped_column(ForeignKey("customers.id", ondelete="SET NULL"), index=True)
    department_id: Mapped[str | None] = mapped_column(ForeignKey("departments.id", ondelete="SET NULL"), index=True)
    recipient: Mapped[str] = mapped_column(String(254))
    recipient_name: Mapped[str] = mapped_column(String(250))
    subject: Mapped[str] = mapped_column(String(1000))
    body_text: Mapped[str] = mapped_column(Text)
    body_html: Mapped[str] = mapped_column(Text)
    in_reply_to: Mapped[str | None] = mapped_column(String(998))
    thread: Mapped[list[str]] = mapped_column("thread_ids", Json)
    state: Mapped[str] = mapped_column(String(10))
    attempts: Mapped[int] = mapped_column(Integer)
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Instant)
    sent_at: Mapped[datetime | None] = mapped_column(Instant)
    hidden: Mapped[str | None] = mapped_column(Text)


Index("ix_mails_recipient", func.lower(Mail.recipient), Mail.created_at)


class MailCount(Base):
    """How many mails about a customer's tickets went out in a month (`2026-03`, in UTC). It counts on when the mails
    themselves are forgotten."""

    __tablename__ = "mail_counts"

    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True)
    month: Mapped[str] = mapped_column(String(7), primary_key=True)
    number: Mapped[int] = mapped_column(Integer)
