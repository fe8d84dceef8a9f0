"""Tables of mails that come in."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, ForeignKey, Index, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from deskplane.kernel.columns import Base, Instant, Serial

STATES = ("received", "processed", "quarantined", "ignored")


class Mailbox(Base):
    """How far a department's mailbox was read, and who is reading it.

    `address` says which mailbox the cursor is of: where the department's settings name another one, it begins anew.
    `uid_validity` and `next_uid` are IMAP's (RFC 9051, 2.3.1.1). `due_at` is when it is read next at the earliest.
    """

    __tablename__ = "mailboxes"

    department_id: Mapped[str] = mapped_column(ForeignKey("departments.id", ondelete="CASCADE"), primary_key=True)
    address: Mapped[str] = mapped_column(String(800))
    uid_validity: Mapped[int | None] = mapped_column(BigInteger)
    next_uid: Mapped[int | None] = mapped_column(BigInteger)
    due_at: Mapped[datetime | None] = mapped_column(Instant)
    lease_owner: Mapped[str | None] = mapped_column(String(80))
    leased_until: Mapped[datetime | None] = mapped_column(Instant)
    failures: Mapped[int] = mapped_column(Integer)
    last_error: Mapped[str | None] = mapped_column(Text)
    last_success_at: Mapped[datetime | None] = mapped_column(Instant)


class ReceivedMail(Base):
    """A mail as it came in, and what became of it. Its bytes are chunks.

    `identity` stands for the Message-ID: with the hash of the body it tells a mail that is delivered again, which is
    counted in `deliveries`, from another one. `whole` is false where only the beginning of a mail that is too large was
    stored. `ticket_message_id` is the message that it became.
    """

    __tablename__ = "received_mails"
    __table_args__ = (
        UniqueConstraint("department_id", "identity", "body_hash"),
        Index("ix_received_mails_identity", "identity", "body_hash"),
        Index("ix_received_mails_uid", "department_id", "uid_validity", "uid"),
        Index("ix_received_mails_state", "state", "id"),
        Index("ix_received_mails_ticket", "ticket_id", "id"),
        Index("ix_received_mails_ticket_message_id", "ticket_message_id"),
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    department_id: Mapped[str | None] = mapped_column(ForeignKey("departments.id", ondelete="SET NULL"))
    mailbox: Mapped[str] = mapped_column(String(800))
    uid_validity: Mapped[int] = mapped_column(BigInteger)
    uid: Mapped[int] = mapped_column(BigInteger)
    identity: Mapped[str] = mapped_column(String(64))
    body_hash: Mapped[str] = mapped_column(String(64))
    message_id: Mapped[str] = mapped_column(String(1000))
    return_path: Mapped[str | None] = mapped_column(String(254))
    sender: Mapped[str | None] = mapped_column(String(254))
    subject: Mapped[str] = mapped_column(String(300))
    size: Mapped[int] = mapped_column(BigInteger)
    whole: Mapped[bool] = mapped_column(Boolean)
    deliveries: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(12))
    reason: Mapped[str | None] = mapped_column(Text)
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("tickets.id", ondelete="SET NULL"))
    ticket_message_id: Mapped[int | None] = mapped_column(ForeignKey("ticket_messages.id", ondelete="SET NULL"))
    received_at: Mapped[datetime] = mapped_column(Instant)
    handled_at: Mapped[datetime | None] = mapped_column(Instant)


class ReceivedMailChunk(Base):
    """A piece of a mail. All but the last have the same size."""

    __tablename__ = "received_mail_chunks"

    mail_id: Mapped[int] = mapped_column(ForeignKey("received_mails.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)
